// Commands, campaigns, groups and tags, as people use them. Environment, beside what page.mjs takes: MUSTER_SECOND and
// MUSTER_VIEWER (one-time links of another operator and of a viewer), MUSTER_TRICKY (a text that a shell may not touch).
// Prints, as a line of JSON, what stands there to be copied.
import assert from 'node:assert/strict'
import { accessible, address, looks, open, withBrowser } from './page.mjs'

const { MUSTER_LINK, MUSTER_SECOND, MUSTER_VIEWER, MUSTER_TRICKY } = process.env

const dialogOf = (page) => page.getByRole('dialog').filter({ visible: true })
const stateOf = (page, word) => page.getByTestId('campaign-state').filter({ hasText: word }).first().waitFor()
const segment = (place, name) => place.getByRole('button', { name, exact: true }).click()
const go = (page, path) => page.goto(address(path))

// At least so many devices of the campaign are in that state.
async function counted(page, name, least) {
	await page.waitForFunction(([name, least]) => {
		const text = document.querySelector(`[data-count=${name}]`)?.textContent ?? ''
		return Number(text.replaceAll(',', '')) >= least
	}, [name, least])
}

// ---- groups and tags ----

async function groups(page) {
	await go(page, '/groups')
	await page.getByRole('button', { name: 'New group…' }).click()
	const dialog = dialogOf(page)
	await dialog.getByLabel('Name').fill('floor-1')
	await dialog.getByLabel('Description').fill('the ground floor')
	await accessible(page, 'new group')
	await dialog.getByRole('button', { name: 'Make it' }).click()
	await page.getByRole('heading', { name: 'floor-1', level: 1 }).waitFor()

	await page.getByLabel('Ids, separated').fill('sim-001, sim-002\nsim-003 ghost-1')
	await page.getByRole('button', { name: 'Add 4' }).click()
	await page.getByText('3 added.').waitFor()
	await page.getByText('Unknown, left above: 1.').waitFor()
	assert.equal(await page.getByLabel('Ids, separated').inputValue(), 'ghost-1')
	const members = page.getByTestId('members').locator('tbody tr')
	await members.nth(2).waitFor()
	await page.getByRole('button', { name: 'Take out sim-002' }).click()
	await page.locator('tr[data-device=sim-002]').waitFor({ state: 'detached' })
	await page.getByRole('button', { name: 'Edit…' }).click()
	await dialogOf(page).getByLabel('Description').fill('ground floor, east')
	await dialogOf(page).getByRole('button', { name: 'Save' }).click()
	await page.getByText('ground floor, east').first().waitFor()
	await looks(page, 'group')

	await go(page, '/groups')
	await page.locator('tr[data-tag="old shelf"]').getByRole('button', { name: 'Rename…' }).click()
	await dialogOf(page).getByLabel('New name').fill('shelf')
	await dialogOf(page).getByRole('button', { name: 'Rename it' }).click()
	await page.locator('tr[data-tag=shelf] td:nth-child(2)', { hasText: '12' }).waitFor()
	await page.locator('tr[data-tag=useless]').getByRole('button', { name: 'Remove…' }).click()
	await dialogOf(page).getByRole('button', { name: 'Remove it' }).click()
	await page.locator('tr[data-tag=useless]').waitFor({ state: 'detached' })
	await accessible(page, 'groups')
}

// ---- campaigns ----

async function canaries(page) {
	await go(page, '/campaigns')
	await page.getByText('No campaigns yet').waitFor()
	await page.getByRole('button', { name: 'New campaign…' }).click()
	const dialog = dialogOf(page)
	await dialog.getByLabel('Tag').fill('shelf')
	await dialog.getByTestId('blast').filter({ hasText: '12 devices' }).waitFor()
	await dialog.getByLabel('Action').selectOption('ping')
	await dialog.getByLabel('Name').fill('shelf, carefully')
	await dialog.getByText('Rollout:').click()
	await dialog.getByLabel('Canaries').fill('2')
	await dialog.getByLabel('Devices a minute').fill('a lot')
	await dialog.getByRole('button', { name: 'Start ping on 12' }).click()
	await dialog.getByText('A number from 0 to 1000000.').waitFor()
	await dialog.getByLabel('Devices a minute').fill('1')
	await looks(page, 'compose-campaign', { fullPage: false })
	await dialog.getByText('The same from a shell').click()
	await segment(dialog, 'In maintenance windows')
	const line = "muster campaign create 'shelf, carefully' ping --tag shelf --canary 2 --success 100 --errors 10 --rate 1 --factor 1"
	await dialog.getByTestId('as-cli').filter({ hasText: `${line} --in-window --start` }).waitFor()
	await segment(dialog, 'Now')
	await dialog.getByRole('button', { name: 'Start ping on 12' }).click()

	await page.getByRole('heading', { name: 'shelf, carefully' }).waitFor()
	await counted(page, 'succeeded', 2)
	await page.getByRole('button', { name: 'Pause', exact: true }).click()
	await stateOf(page, 'Paused')
	await page.getByTestId('why').filter({ hasText: 'by admin' }).waitFor()
	await page.getByTestId('pace').waitFor()
	await page.getByTestId('as-cli').filter({ hasText: `--query 'tag:"shelf"' --canary 2 --rate 1 --start` }).waitFor()
	await looks(page, 'campaign')
	await page.getByRole('button', { name: 'Resume' }).click()
	await stateOf(page, 'Running')
	await page.getByRole('button', { name: 'Abort…' }).click()
	await dialogOf(page).getByLabel('Type abort').fill('perhaps')
	await dialogOf(page).getByRole('button', { name: 'Abort it' }).click()
	await page.getByText('Not aborted').waitFor()
	await page.getByRole('button', { name: 'Abort…' }).click()
	await dialogOf(page).getByLabel('Type abort').fill('abort')
	await dialogOf(page).getByRole('button', { name: 'Abort it' }).click()
	await stateOf(page, 'Aborted')
	await segment(page.getByRole('group', { name: 'State' }), /^Succeeded/)
	await page.getByTestId('targets').locator('tbody tr').first().waitFor()
	assert.match(page.url(), /state=succeeded/)
}

// More than one person may decide on alone.
async function secondPerson(browser, page) {
	await go(page, '/campaigns')
	await page.getByRole('button', { name: 'New campaign…' }).click()
	const dialog = dialogOf(page)
	await segment(dialog, 'Everything')
	await dialog.getByTestId('blast').filter({ hasText: '24 devices' }).waitFor()
	await dialog.getByLabel('Action').selectOption('reboot')
	await dialog.getByRole('button', { name: 'Start reboot on 24' }).click()
	await dialog.getByText('Type 24 here.').waitFor()
	await dialog.getByLabel('to confirm').fill('24')
	await dialog.getByRole('button', { name: 'Start reboot on 24' }).click()
	await stateOf(page, 'Waits for approval')
	assert.equal(await page.getByRole('button', { name: 'Approve' }).count(), 0, 'not by the one who made it')

	const other = await open(browser)
	await other.page.goto(MUSTER_SECOND)
	await other.page.getByRole('heading', { level: 1 }).first().waitFor()
	await other.page.goto(page.url())
	await other.page.getByRole('button', { name: 'Approve' }).click()
	await counted(page, 'succeeded', 24)
	await stateOf(page, 'Finished')
	await page.getByText(/by second,/).waitFor()
	assert.deepEqual(other.faults, [])
	await other.context.close()
}

// ---- commands ----

async function oneCommand(page) {
	await go(page, '/commands')
	await page.getByRole('button', { name: 'New command…' }).click()
	const dialog = dialogOf(page)
	await segment(dialog, 'Devices')
	await dialog.getByRole('textbox', { name: 'Devices' }).fill('sim-001')
	await dialog.getByLabel('Action').selectOption('set_interval')
	await dialog.getByLabel('seconds').fill('7')
	await dialog.getByRole('button', { name: 'Send set_interval' }).click()
	await page.getByTestId('timeline').getByText('succeeded').waitFor()
	await page.getByTestId('results').getByText('signed').first().waitFor()
	const claims = await page.getByTestId('jws').locator('pre').nth(1).innerText()
	assert.equal(JSON.parse(claims).params.seconds, 7)
	await looks(page, 'command')
}

// What stands there is what a shell understands, whatever the text.
async function tricky(page) {
	await go(page, '/commands')
	await page.getByRole('button', { name: 'New command…' }).click()
	const dialog = dialogOf(page)
	await segment(dialog, 'Devices')
	await dialog.getByRole('textbox', { name: 'Devices' }).fill('sim-002')
	await dialog.getByLabel('Action').selectOption('message')
	await dialog.getByLabel('text', { exact: true }).fill(MUSTER_TRICKY)
	await dialog.getByRole('button', { name: 'Send message' }).click()
	await page.getByTestId('timeline').getByText('rejected').waitFor()
	const copied = {}
	for (const [kind, name] of [['cli', 'muster'], ['curl', 'curl'], ['mqtt', 'mosquitto_pub']]) {
		await segment(page.getByRole('group', { name: 'With what' }), name)
		copied[kind] = await page.getByTestId(`as-${kind}`).locator('code').innerText()
	}
	console.log(JSON.stringify(copied))
	await page.getByRole('button', { name: 'Repeat…' }).click()
	assert.equal(await dialogOf(page).getByLabel('text', { exact: true }).inputValue(), MUSTER_TRICKY)
	await page.keyboard.press('Escape')
}

async function filters(page) {
	await go(page, '/commands?action=reboot&state=succeeded')
	const rows = page.getByTestId('commands').locator('tbody tr')
	await rows.nth(23).waitFor()
	assert.equal(await rows.count(), 24)
	await page.getByLabel('By').fill('nobody')
	await page.keyboard.press('Tab')
	await page.getByText('No command matches').waitFor()
	assert.match(page.url(), /by=nobody/)
	await page.getByRole('button', { name: 'Show all commands' }).click()
	await rows.first().waitFor()
	await accessible(page, 'commands')
}

// A thousand commands: what is far from the screen is not there, and comes back.
async function longHistory(page) {
	const [first] = (await (await page.request.get(address('/api/v1/commands?limit=1'))).json()).items
	const id = (n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
	await page.route('**/api/v1/commands?*', (route) => {
		const from = Number(new URL(route.request().url()).searchParams.get('after') ?? 0)
		const items = Array.from({ length: 100 }, (_, i) => ({ ...first, id: id(from + i), device: `old-${from + i}`, requested_by: 'nobody' }))
		return route.fulfill({ json: { items, next: from < 900 ? String(from + 100) : null } })
	})
	await go(page, '/commands?by=nobody') // so that the stack's own, which come by the stream, stay out
	for (let n = 2; n <= 10; n++) {
		await page.getByRole('button', { name: 'Show 100 more' }).click()
		await page.getByText(n < 10 ? `${n}00 shown` : '1,000 shown').waitFor()
	}
	const there = page.locator('tr[data-command]')
	await page.waitForFunction(() => document.querySelectorAll('tr[data-command]').length < 400)
	await page.evaluate(() => scrollTo(0, document.body.scrollHeight))
	await there.filter({ hasText: 'old-999' }).waitFor()
	await page.waitForFunction(() => document.querySelectorAll('tr[data-command]').length < 400)
	await page.evaluate(() => scrollTo(0, 0))
	await there.filter({ has: page.locator('a[href="/devices/old-0"]') }).getByRole('button').click()
	await page.locator('tr.detail').waitFor()
	await page.unroute('**/api/v1/commands?*')
}

// What takes longer than a second is seen to be under way.
async function slowly(page) {
	await page.route('**/api/v1/campaigns?*', async (route) => {
		await page.getByTestId('working').waitFor()
		await route.fallback()
	})
	await go(page, '/campaigns')
	await page.getByTestId('campaigns').waitFor()
	await page.getByTestId('working').waitFor({ state: 'detached' })
	await page.unroute('**/api/v1/campaigns?*')
}

// What does not exist leads on.
async function absent(page) {
	for (const [path, words] of [['/groups/none', 'There is no group none'], ['/campaigns/999', 'There is no campaign 999']]) {
		await go(page, path)
		await page.getByRole('heading', { name: words, level: 1 }).waitFor()
		await accessible(page, path)
		await page.getByRole('link', { name: /^Go to all/ }).click()
		await page.waitForURL(address(path.replace(/.[^/]*$/, '')))
	}
}

// Sees everything, and finds nothing to press.
async function viewer(browser) {
	const { page, context } = await open(browser)
	await page.goto(MUSTER_VIEWER)
	await page.getByRole('heading', { level: 1 }).first().waitFor()
	for (const [path, seen] of [['/campaigns', 'campaigns'], ['/commands', 'commands'], ['/groups', 'groups']]) {
		await go(page, path)
		await page.getByTestId(seen).waitFor()
		assert.equal(await page.getByRole('button', { name: /…$/ }).count(), 0, path)
	}
	await go(page, '/users')
	await page.getByRole('heading', { name: 'Users is for administrators' }).waitFor()
	await context.close()
}

await withBrowser(async (browser) => {
	const { page, faults } = await open(browser)
	await page.goto(MUSTER_LINK)
	await page.getByRole('heading', { level: 1 }).first().waitFor()
	await groups(page)
	await canaries(page)
	await secondPerson(browser, page)
	await go(page, '/campaigns')
	await page.getByTestId('campaigns').locator('tbody tr').nth(1).waitFor()
	await accessible(page, 'campaigns')
	await oneCommand(page)
	await tricky(page)
	await filters(page)
	await longHistory(page)
	await slowly(page)
	await absent(page)
	await viewer(browser)
	assert.deepEqual(faults, [])
})
