// The frame: navigation, keyboard, theme; the overview, the system, the API's document.
import assert from 'node:assert/strict'
import { accessible, address, looks, open, shot, withBrowser } from './page.mjs'

const { MUSTER_LINK } = process.env

const active = (page) => page.evaluate(() => document.activeElement?.textContent ?? '')
const theme = (page) => page.evaluate(() => document.documentElement.dataset.theme)
const at = (page, path) => page.waitForFunction((wanted) => location.pathname === wanted, path)

async function seesTheOverview(page) {
	await page.getByTestId('overview').waitFor()
	await page.getByTestId('overview').filter({ hasText: /0 lost/ }).filter({ hasText: /All well/ }).waitFor()
	await page.getByTestId('history').waitFor()
	await page.getByTestId('changes').getByText(/guest-1/).first().waitFor()
	const waiting = page.getByTestId('attention').getByRole('link', { name: '1 device asks to be let in' })
	await waiting.waitFor()
	await looks(page, 'overview')

	// The numbers lead to what they count.
	await page.getByTestId('overview').getByRole('link', { name: /^Never seen/ }).click()
	await at(page, '/devices')
	assert.equal(new URL(page.url()).searchParams.get('status'), 'never')
	await page.goBack()
	await page.getByTestId('overview').waitFor()

	// A moment under the mouse; what is loaded above the chart may move it away meanwhile.
	const chart = page.getByTestId('history').locator('svg').first()
	const moment = page.locator('.trend-at').first()
	for (let turn = 0; turn < 200 && !(await moment.isVisible()); turn++) {
		const { width, height } = await chart.boundingBox()
		await chart.hover({ position: { x: width * (turn % 2 ? 0.4 : 0.6), y: height / 2 } })
	}
	assert.match(await moment.innerText(), /^\d\d:\d\d$/)
}

// Alerts as their resource answers; where there is none, the overview goes on without.
async function showsAlerts(context) {
	const page = await context.newPage()
	page.setDefaultTimeout(180000)
	const alert = (id, severity) => ({ id, severity, title: `alarm ${id}`, device: 'sim-001', raised_at: new Date() })
	await page.route('**/api/v1/alerts/summary', (route) => route.fulfill({ json: { active: 9, unacknowledged: 7, critical: 8, warning: 1, info: 0 } }))
	await page.route('**/api/v1/alerts?*', (route) => route.fulfill({ json: {
		items: [alert(9, 'warning'), ...[8, 7, 6, 5, 4].map((id) => alert(id, 'critical'))], next: null } }))
	await page.goto(address('/'))
	const list = page.getByTestId('attention')
	await list.getByRole('link', { name: 'alarm 8' }).waitFor()
	assert.match(await list.innerText(), /alarm 8.*alarm 5.*4 more, critical.*alarm 9/s, 'the gravest first, the rest behind a link')
	await accessible(page, 'alerts on the overview')
	await page.close()
}

async function walksByKeyboard(page) {
	await page.keyboard.press('?')
	const help = page.getByRole('dialog')
	await help.getByText('Next row').waitFor()
	await accessible(page, 'help')
	await page.keyboard.press('d') // in the dialog the keys are its own
	await page.keyboard.press('Escape')
	await help.waitFor({ state: 'detached' })

	await page.keyboard.press('g')
	await page.keyboard.press('d')
	await at(page, '/devices')
	await page.locator('tr[data-device=sim-002]').waitFor()
	await page.keyboard.press('j')
	const first = await active(page)
	await page.keyboard.press('j')
	assert.notEqual(await active(page), first)
	await page.keyboard.press('k')
	assert.equal(await active(page), first)
	await page.keyboard.press('/')
	assert.ok(await page.evaluate(() => document.activeElement.matches('[role=combobox], [type=search]')))
	await page.keyboard.type('sim-002 j')
	assert.equal(await page.evaluate(() => document.activeElement.value), 'sim-002 j', 'who types, types')
	await page.keyboard.press('Escape')
	await page.evaluate(() => document.activeElement.blur())
	await page.locator('tr[data-device=sim-001]').waitFor()
	await page.keyboard.press('j')
	await page.keyboard.press('Enter')
	await page.getByTestId('why').waitFor()
	await page.keyboard.press('g')
	await page.keyboard.press('s')
	await at(page, '/system')
	await page.keyboard.press('g')
	await page.keyboard.press('q') // leads nowhere
	await page.keyboard.press('g')
	await page.keyboard.press('o')
	await at(page, '/')
}

async function choosesATheme(page) {
	await page.emulateMedia({ colorScheme: 'light' })
	assert.equal(await theme(page), 'light')
	const me = page.getByRole('button', { name: /administrator$/ })
	await me.click()
	await page.getByRole('button', { name: 'Dark' }).click()
	assert.equal(await theme(page), 'dark')
	await accessible(page, "the person's menu")
	await page.reload()
	await me.waitFor()
	assert.equal(await theme(page), 'dark', 'kept on this computer')
	await me.click()
	await page.getByRole('button', { name: 'System', exact: true }).click()
	assert.equal(await theme(page), 'light')
	await page.emulateMedia({ colorScheme: 'dark' })
	await page.waitForFunction(() => document.documentElement.dataset.theme === 'dark')
	await page.keyboard.press('Escape')
	assert.equal(await page.getByRole('button', { name: 'Log out' }).count(), 0)
	assert.match(await active(page), /administrator/)
}

async function usesTheDrawer(page) {
	await page.setViewportSize({ width: 360, height: 780 })
	await page.getByRole('navigation').waitFor({ state: 'detached' })
	await page.getByRole('button', { name: 'Menu' }).click()
	await page.getByRole('navigation').getByRole('link', { name: 'System' }).waitFor()
	await accessible(page, 'drawer')
	await shot(page, 'drawer-360-light')
	await page.getByRole('navigation').getByRole('link', { name: 'Devices' }).click()
	await at(page, '/devices')
	await page.getByRole('navigation').waitFor({ state: 'hidden' })
	await page.setViewportSize({ width: 1440, height: 900 })
}

async function looksAtTheSystem(page) {
	await page.goto(address('/system'))
	const parts = page.getByTestId('parts')
	for (const part of ['ingest', 'commander', 'bridge', 'dashboard'])
		await parts.locator(`tr[data-part=${part}]`).getByText('Well', { exact: true }).waitFor()
	await page.getByTestId('queues').getByText('Commands to be signed').waitFor()
	await page.getByText('Clients connected').waitFor()
	await looks(page, 'system')
}

async function readsTheApi(page) {
	await page.goto(address('/api/docs'))
	const route = page.locator('[data-route="POST /api/v1/devices/{id}/revoke"]')
	await route.waitFor()
	await page.keyboard.press('/')
	await page.keyboard.type('revoke cut')
	await page.waitForFunction(() => document.querySelectorAll('[data-route]').length === 1)
	await page.keyboard.press('Tab')
	await page.keyboard.press('j')
	await page.keyboard.press('Enter')
	await route.getByText('For operator, administrator.').waitFor()
	assert.match(await route.locator('.curl code').innerText(), /^curl -sS -X POST .*Bearer .*\/api\/v1\/devices\/\{id\}\/revoke'$/s)
	await route.locator('.schema').getByText('RevocationEffect[]', { exact: true }).waitFor()
	await route.locator('.schema summary').getByText('RevocationEffect', { exact: true }).click()
	await route.locator('.schema').getByText('applied_at', { exact: true }).waitFor()
	for (const status of ['200', '401', '403', '404', '422', '429', '503'])
		await route.getByText(status, { exact: true }).waitFor()
	await looks(page, 'api')
}

await withBrowser(async (browser) => {
	const { context, page, faults } = await open(browser)
	await page.goto(MUSTER_LINK)
	await seesTheOverview(page)
	await showsAlerts(context)
	await page.setViewportSize({ width: 1440, height: 900 })
	await walksByKeyboard(page)
	await choosesATheme(page)
	await usesTheDrawer(page)
	await looksAtTheSystem(page)
	await page.setViewportSize({ width: 1440, height: 900 })
	await readsTheApi(page)
	assert.deepEqual(faults, [])

	const other = await open(browser)
	await other.page.route('**/api/v1/session', (answer) =>
		answer.fulfill({ json: { name: 'eve', role: 'viewer', can_act: false, expires_at: new Date(), version: '' } }))
	await other.page.goto(address('/'))
	await other.page.getByRole('navigation').getByRole('link', { name: 'Devices' }).waitFor()
	assert.equal(await other.page.getByRole('navigation').getByRole('link', { name: 'System' }).count(), 0)
})
