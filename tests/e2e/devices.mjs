// The page of devices with MUSTER_FLEET of them, as a person uses it; run by test_devices.py.
import assert from 'node:assert/strict'
import { accessible, address, looks, open, withBrowser } from './page.mjs'

const DEVICES = Number(process.env.MUSTER_FLEET)
const ALL = DEVICES.toLocaleString('en')
const name = (number) => `fleet-${String(number).padStart(6, '0')}`
const rowsOf = (page) => page.locator('tr[data-device]')
const box = (page) => page.getByLabel('Filter devices')
const scroller = (page) => page.getByTestId('scroller')
const param = (page, name) => new URL(page.url()).searchParams.get(name)

async function counted(page, number) {
	await page.getByTestId('count').filter({ hasText: new RegExp(`^${number} `) }).waitFor()
}

// Waits for a row whose place in the list is about there, with what it shows.
async function rowNear(page, index) {
	await page.waitForFunction((wanted) => [...document.querySelectorAll('tr[data-device]')]
		.some((row) => Math.abs(Number(row.getAttribute('aria-rowindex')) - wanted) < 30), index)
}

async function scrollsToTheMiddle(page) {
	await counted(page, ALL)
	assert.ok(await rowsOf(page).count() < 120, 'only what is in view is there')
	await scroller(page).evaluate((element) => { element.scrollTop = element.scrollHeight / 2 })
	await rowNear(page, DEVICES / 2)
	const names = await rowsOf(page).evaluateAll((rows) => rows.map((row) => [row.dataset.device, Number(row.getAttribute('aria-rowindex')) - 1]))
	for (const [device, place] of names) assert.equal(Number(device.split('-')[1]), place, 'each row is where it belongs')
	await scroller(page).evaluate((element) => { element.scrollTop = element.scrollHeight })
	await page.locator(`tr[data-device=${name(DEVICES)}]`).waitFor()
	await page.getByRole('columnheader', { name: 'Battery' }).isVisible()
}

async function sorts(page) {
	await page.getByRole('button', { name: 'Battery' }).click()
	await page.waitForURL(/sort=battery/)
	await page.locator('th[aria-sort=ascending]').filter({ hasText: 'Battery' }).waitFor()
	await page.waitForFunction(() => document.querySelector('tr[data-device] .c-battery .number')?.textContent.trim() === '0 %')
	await page.getByRole('button', { name: 'Battery' }).click()
	await page.waitForFunction(() => document.querySelector('tr[data-device] .c-battery .number')?.textContent.trim() === '100 %')
	assert.equal(param(page, 'sort'), '-battery')
	assert.equal(await scroller(page).evaluate((element) => element.scrollTop), 0)
}

async function filters(page) {
	await box(page).fill('tag:kiosk batery<20')
	await page.getByTestId('query-fault').filter({ hasText: 'there is no field "batery"' }).waitFor()
	assert.equal(await page.getByTestId('query-fault').locator('mark').innerText(), 'batery<20')
	assert.ok(await rowsOf(page).count() > 0, 'what was there stays until the query is right')
	await accessible(page, 'devices with a wrong query')
	// The keyboard completes fields and values.
	await box(page).fill('sta')
	await page.getByRole('option', { name: /^status:/ }).waitFor()
	await page.keyboard.press('ArrowDown')
	await page.keyboard.press('Enter')
	await page.getByRole('option', { name: 'status:offline' }).waitFor()
	await page.keyboard.type('off')
	await page.keyboard.press('ArrowDown')
	await page.keyboard.press('Enter')
	await page.keyboard.type('tag:kiosk battery<20 os:android')
	await page.keyboard.press('Enter')
	await page.waitForURL(/query=status/)
	await page.waitForFunction(() => /^[\d,]{3,5} match$/.test(document.querySelector('[data-testid=count]').textContent))
	await page.waitForFunction(() => {
		const words = [...document.querySelectorAll('tr[data-device] [data-testid=status]')].map((one) => one.innerText.trim())
		return words.length > 0 && words.every((word) => word === 'Offline')
	})
}

// The address alone brings back what was looked at; the columns are kept for the person, too.
async function remembers(page) {
	await page.getByRole('button', { name: 'Columns' }).click()
	await page.getByRole('checkbox', { name: 'Agent' }).check()
	await page.getByRole('checkbox', { name: 'Uptime' }).uncheck()
	await page.getByRole('button', { name: 'Agent further left' }).click()
	await page.keyboard.press('Escape')
	await page.getByRole('columnheader', { name: 'Agent' }).waitFor()
	const before = page.url()
	const shown = await page.getByTestId('count').innerText()
	assert.match(param(page, 'cols'), /version,network$/)
	await page.goto(address('/devices'))
	await counted(page, ALL)
	await page.getByRole('columnheader', { name: 'Agent' }).waitFor()
	await page.goto(before)
	await page.getByTestId('count').filter({ hasText: shown }).waitFor()
	assert.equal(await box(page).inputValue(), param(page, 'query'))
	await page.getByRole('button', { name: 'Columns' }).click()
	await page.getByRole('button', { name: 'The usual ones' }).click()
	await page.keyboard.press('Escape')
	assert.equal(param(page, 'cols'), null)
	// Saved for everybody, picked, deleted.
	await page.getByRole('button', { name: 'Saved' }).click()
	await page.getByRole('textbox', { name: /^Save / }).fill('weak-kiosks')
	await page.getByRole('button', { name: 'Save', exact: true }).click()
	await page.getByRole('button', { name: /^weak-kiosks/ }).waitFor()
	await page.keyboard.press('Escape')
	await box(page).fill('')
	await counted(page, ALL)
	await page.getByRole('button', { name: 'Saved' }).click()
	await page.getByRole('button', { name: /^weak-kiosks/ }).click()
	await page.getByTestId('count').filter({ hasText: shown }).waitFor()
	await page.getByRole('button', { name: 'Saved' }).click()
	await page.getByRole('button', { name: 'Delete the filter weak-kiosks' }).click()
	await page.getByText('None yet.').waitFor()
	await page.keyboard.press('Escape')
}

async function selects(page) {
	const bar = page.getByTestId('bulk-bar')
	const checks = rowsOf(page).getByRole('checkbox')
	const query = 'tag:site-21 device:fleet-*'
	const answer = await page.request.get(address(`/api/v1/devices/count?query=${encodeURIComponent(query)}`))
	const all = (await answer.json()).count
	await box(page).fill(query)
	await counted(page, all)
	await checks.nth(1).click()
	await checks.nth(5).click({ modifiers: ['Shift'] })
	await bar.getByText('5 devices selected').waitFor()
	await checks.nth(3).click()
	await bar.getByText('4 devices selected').waitFor()
	await bar.getByRole('button', { name: `Select all ${all} matching` }).click()
	await bar.getByText(`${all} devices selected`).waitFor()
	return { bar, all }
}

async function actsOnMany(page) {
	const { bar, all } = await selects(page)
	const dialog = page.getByTestId('bulk')
	await bar.getByRole('button', { name: 'Tags…' }).click()
	await dialog.getByLabel('Add').fill('autumn')
	await dialog.getByTestId('radius').getByText(`${all} devices`).first().waitFor()
	await accessible(page, 'tags of many')
	await dialog.getByRole('button', { name: `Change tags ${all} devices` }).click()
	await dialog.getByText(`The tags of ${all} devices have changed.`).waitFor()
	await dialog.getByRole('button', { name: 'Close' }).click()
	await bar.waitFor({ state: 'detached' })
	await box(page).fill('tag:autumn')
	await page.waitForURL(/query=tag%3Aautumn/)
	await counted(page, all)

	await page.getByRole('checkbox', { name: 'Select all that are loaded in view' }).click()
	await bar.getByRole('button', { name: /^Select all/ }).click()
	await bar.getByRole('button', { name: 'Revoke…' }).click()
	const revoke = dialog.getByRole('button', { name: `Revoke ${all} devices` })
	await revoke.waitFor()
	assert.ok(await revoke.isDisabled(), 'not before the number is typed')
	await dialog.getByLabel(`Type ${all} to confirm`).fill(String(all - 1))
	assert.ok(await revoke.isDisabled(), 'nor with another number')
	await dialog.getByLabel(`Type ${all} to confirm`).fill(String(all))
	await dialog.getByLabel('Why').fill('the van was stolen')
	await looks(page, 'devices-revoke')
	await page.setViewportSize({ width: 1440, height: 900 })
	await revoke.click()
	await dialog.locator('[data-testid=bulk-progress][data-state=finished]').waitFor()
	await dialog.getByRole('button', { name: 'Close' }).click()
	await page.getByRole('button', { name: /^Revoked/ }).click()
	await counted(page, all)
	await rowsOf(page).first().getByTestId('revoked').waitFor()

	await page.getByRole('checkbox', { name: 'Select all that are loaded in view' }).click()
	await bar.getByRole('button', { name: /^Select all/ }).click()
	await bar.getByRole('button', { name: 'Command…' }).click()
	await page.getByRole('dialog', { name: 'New command' }).waitFor()
	await page.keyboard.press('Escape')
	await bar.getByRole('button', { name: 'Clear' }).click()
	await bar.waitFor({ state: 'detached' })
}

// A row leads to its device wherever it is pressed, but a tag in it to the tag; and only rows on screen are listened to.
async function leads(page) {
	const listens = page.waitForRequest((request) => /stream\/./.test(request.url()) && request.postDataJSON().devices.includes(name(DEVICES / 2)))
	await scroller(page).evaluate((element) => { element.scrollTop = element.scrollHeight / 2 })
	const { topics, devices } = (await listens).postDataJSON()
	assert.ok(topics.includes('devices') && !topics.some((topic) => topic.endsWith('*')), topics.join())
	assert.ok(devices.length < 120, `${devices.length} devices are listened to`)
	await box(page).fill('device:fleet-000007')
	await counted(page, 1)
	const cell = await rowsOf(page).locator('.c-uptime').boundingBox()
	await page.mouse.click(cell.x + 5, cell.y + 5)
	await page.waitForURL(/devices\/fleet-000007/)
	await page.goBack()
	await rowsOf(page).getByRole('link', { name: 'till' }).click()
	await page.waitForURL(/query=tag%3A%22till%22/)
}

await withBrowser(async (browser) => {
	const { page, faults } = await open(browser)
	await page.goto(process.env.MUSTER_LINK)
	await page.getByRole('navigation').waitFor()
	await page.goto(address('/devices'))
	await page.getByTestId('devices').waitFor()
	await scrollsToTheMiddle(page)
	await sorts(page)
	await filters(page)
	await remembers(page)
	await actsOnMany(page)
	await page.goto(address('/devices'))
	await counted(page, ALL)
	await looks(page, 'devices')
	await page.setViewportSize({ width: 1440, height: 900 })
	await leads(page)
	assert.deepEqual(faults, [])
})
