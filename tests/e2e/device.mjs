// One device, as a person looks after it: names it, tags it, notes something, looks closer at its charts, searches its
// software and how that changed, sees who said to be it, and who changed what. Environment, beside what page.mjs takes:
// MUSTER_DEVICE (its id).
import assert from 'node:assert/strict'
import { accessible, address, looks, open, withBrowser } from './page.mjs'

const { MUSTER_LINK, MUSTER_DEVICE } = process.env
const path = `/devices/${MUSTER_DEVICE}`
const HOSTILE = '<img src=x onerror="window.injected=1">'

async function describe(page) {
	await page.getByRole('button', { name: 'Name it' }).click()
	await page.keyboard.type('Front desk')
	await page.keyboard.press('Enter')
	await page.getByTestId('display-name').filter({ hasText: /^Front desk$/ }).waitFor()
	await page.getByRole('button', { name: 'Add tags' }).click()
	await page.keyboard.type('kiosk, berlin')
	await page.keyboard.press('Enter')
	await page.getByRole('button', { name: 'Take the tag berlin away' }).click()
	await page.getByRole('button', { name: 'Take the tag berlin away' }).waitFor({ state: 'detached' })
	await page.keyboard.press('Tab')
	await page.getByRole('button', { name: 'Done' }).click()
	assert.equal(await page.getByTestId('tags').locator('.tag').innerText(), 'kiosk')
	await page.getByRole('button', { name: 'Add to a group' }).click()
	await page.keyboard.type('lobby')
	await page.keyboard.press('Enter')
	await page.getByRole('button', { name: 'Take it out of lobby' }).waitFor()
	await page.keyboard.type('shelf')
	await page.keyboard.press('Enter')
	await page.getByRole('button', { name: 'Take it out of lobby' }).click()
	await page.getByRole('button', { name: 'Take it out of lobby' }).waitFor({ state: 'detached' })
	await page.getByRole('button', { name: 'Done' }).click()
	assert.equal((await page.getByTestId('groups').getByRole('link').innerText()).trim(), 'shelf')
	await page.getByRole('button', { name: 'Add a note' }).click()
	await page.keyboard.type(`Call Ada first.\n${HOSTILE}`)
	await accessible(page, 'notes')
	await page.getByRole('form', { name: 'Notes' }).getByRole('button', { name: 'Save' }).click()
	await page.getByTestId('notes').filter({ hasText: 'Call Ada first.' }).waitFor()
	// What the server refuses is said, and what was typed stays.
	await page.getByRole('button', { name: 'Rename' }).click()
	await page.getByLabel('Name; empty for none').fill('turned \u202e around')
	await page.keyboard.press('Enter')
	await page.getByRole('alert').filter({ hasText: 'in one line' }).waitFor()
	await page.keyboard.press('Escape')
	await page.reload()
	await page.getByTestId('display-name').filter({ hasText: /^Front desk$/ }).waitFor()
	assert.equal(await page.getByTestId('notes').innerText(), `Call Ada first.\n${HOSTILE}`)
}

const metric = (page, name) => page.locator(`[data-metric="${name}"]`)
const source = (page, name, text) => metric(page, name).getByTestId('source').filter({ hasText: text }).waitFor()
const param = (page, name) => new URL(page.url()).searchParams.get(name)
const points = async (page, name) => Number(await metric(page, name).getByTestId('chart').getAttribute('data-points'))

async function charts(page) {
	await source(page, 'battery_pct', 'readings')
	await page.getByRole('group', { name: 'Metrics' }).getByRole('button', { name: 'CPU' }).click()
	await metric(page, 'cpu_pct').waitFor({ state: 'detached' })
	await page.getByLabel('Add a custom metric').selectOption('rack, °C')
	await source(page, 'rack, °C', 'readings')
	assert.match(param(page, 'metrics'), /^battery_pct,.*rack%2C/)
	// Readings come live, without a question to the server.
	const had = await points(page, 'battery_pct')
	await page.waitForFunction(([name, least]) =>
		Number(document.querySelector(`[data-metric="${name}"] [data-testid=chart]`).dataset.points) > least, ['battery_pct', had])
	// One cursor over all of them.
	const place = metric(page, 'battery_pct').locator('.u-over')
	await place.scrollIntoViewIfNeeded()
	const box = await place.boundingBox()
	await page.mouse.move(box.x + box.width * 0.6, box.y + box.height / 2)
	for (const name of ['battery_pct', 'rack, °C'])
		await metric(page, name).locator('.readout span').first().filter({ hasText: /\d\d:\d\d/ }).waitFor()
	// Closer, and back.
	await page.mouse.move(box.x + box.width * 0.4, box.y + box.height / 2)
	await page.mouse.down()
	await page.mouse.move(box.x + box.width * 0.6, box.y + box.height / 2, { steps: 4 })
	await page.mouse.up()
	await page.getByRole('form', { name: 'Own range' }).waitFor()
	const width = Number(param(page, 'to')) - Number(param(page, 'from'))
	assert.ok(width > 9 * 60_000 && width < 15 * 60_000, `a fifth of an hour: ${width} ms`)
	await page.reload() // the address has it all
	await source(page, 'rack, °C', 'readings')
	await metric(page, 'cpu_pct').waitFor({ state: 'detached' })
	await place.dblclick()
	await page.getByRole('form', { name: 'Own range' }).waitFor({ state: 'detached' })
	assert.equal(param(page, 'from'), null)
	await page.getByRole('button', { name: '7 d' }).click()
	await source(page, 'battery_pct', 'hourly rollups')
	assert.ok(await points(page, 'battery_pct') > 100, 'a week of hours')
	await page.getByRole('button', { name: 'Custom' }).click()
	await page.getByRole('form', { name: 'Own range' }).getByLabel('From').fill('2026-01-02T00:00')
	await page.getByRole('form', { name: 'Own range' }).getByLabel('to').fill('2026-01-01T00:00')
	await page.getByRole('button', { name: 'Show', exact: true }).click()
	await page.getByRole('alert').filter({ hasText: 'must be before' }).waitFor()
	await page.getByRole('button', { name: 'Back to now' }).click()
	await page.getByRole('button', { name: '1 h' }).click()
	await source(page, 'battery_pct', 'readings')
}

async function software(page) {
	const list = page.getByTestId('things')
	const changes = page.getByTestId('changes')
	await list.getByText('package-002', { exact: true }).waitFor()
	await changes.getByText('nginx').waitFor()
	assert.match(await changes.innerText(), /nginx version_code 7 → 8/)
	await page.getByRole('button', { name: /^Show \d+ more$/ }).first().click()
	await list.getByText('package-200', { exact: true }).waitFor()
	const find = page.getByLabel('Find software, services and changes')
	await find.fill('NGI')
	await list.filter({ hasNotText: 'package-002' }).getByText('nginx').waitFor()
	await changes.filter({ hasNotText: 'package' }).getByText('nginx').waitFor()
	await find.fill('no such thing')
	await page.getByText('Nothing of that name').waitFor()
	await page.getByText('No change of that name').waitFor()
	await page.getByRole('button', { name: 'Show all', exact: true }).click()
	await page.getByRole('button', { name: /^Services/ }).click()
	await list.getByText('sshd').waitFor()
	await page.locator('#section-hardware').getByText('192.0.2.7').waitFor()
}

async function sections(page) {
	await page.getByRole('navigation', { name: 'Sections' }).getByRole('link', { name: 'Identity' }).click()
	assert.equal(param(page, 'section'), 'identity')
	await page.locator('#section-identity').getByText('Said to be another machine').waitFor()
	const said = page.getByTestId('mismatch-history').locator('li')
	await said.nth(2).waitFor()
	assert.equal(await said.count(), 3)
	assert.match(await said.first().innerText(), /cccccccc…cccccccc[\s\S]*from 198\.51\.100\.3, 3\. time/)
	await page.getByRole('button', { name: 'Show live messages' }).click()
	await page.locator('#section-live').getByText('battery_pct').first().waitFor()
	await page.getByRole('button', { name: 'Stop' }).click()
	await page.getByRole('button', { name: 'Show live messages' }).waitFor()
	const audit = page.getByTestId('device-audit').locator('li')
	await audit.nth(3).waitFor()
	assert.match(await audit.filter({ hasText: 'Front desk' }).innerText(), /admin\s+device\.set/)
	await page.locator('#section-audit').getByRole('link', { name: 'All of it' }).click()
	await page.getByTestId('audit').getByText('Front desk').waitFor()
	// An address with a section opens there.
	await page.goto(address(`${path}?section=software`))
	await page.waitForFunction(() => {
		const top = document.getElementById('section-software')?.getBoundingClientRect().top
		return top !== undefined && top >= 0 && top < 200
	})
	await page.locator('nav.sections [aria-current]').filter({ hasText: 'Software' }).waitFor()
}

async function viewer(page) {
	const other = await page.context().newPage()
	await other.route('**/api/v1/session', async (route) => {
		const session = await (await route.fetch()).json()
		await route.fulfill({ json: { ...session, role: 'viewer', can_act: false } })
	})
	await other.goto(address(path))
	await other.getByTestId('notes').waitFor()
	assert.equal(await other.getByRole('button', { name: /^(Rename|Edit|Edit tags|Name it)$/ }).count(), 0)
	assert.equal(await other.locator('#section-audit').count(), 0)
	await other.close()
}

await withBrowser(async (browser) => {
	const { page, faults } = await open(browser)
	await page.goto(MUSTER_LINK)
	await page.getByTestId('overview').waitFor()
	await page.goto(address(path))
	await page.getByTestId('why').waitFor()
	await describe(page)
	await charts(page)
	await software(page)
	await sections(page)
	await viewer(page)
	await page.goto(address(path))
	await metric(page, 'battery_pct').getByTestId('last').waitFor()
	await page.getByTestId('changes').waitFor()
	await looks(page, 'device')
	assert.equal(await page.evaluate(() => globalThis.injected), undefined)
	assert.deepEqual(faults.filter((fault) => !fault.includes('status of 4')), [])
})
