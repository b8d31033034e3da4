// What a person sees: log in by the one-time link, watch a device come and go without a reload, send a ping and see it end.
// Environment, beside what page.mjs takes: MUSTER_SIM (command line of a simulated device, JSON array), MUSTER_DEVICE (its
// id), MUSTER_ENROLL (url of the bridge, and a certificate request: JSON), MUSTER_AGENT (id of a device with a real agent).
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessible, looks, open, shot, withBrowser } from './page.mjs'

const { MUSTER_LINK, MUSTER_SIM, MUSTER_DEVICE, MUSTER_ENROLL, MUSTER_AGENT } = process.env
const children = []

function simulate() {
	const [program, ...args] = JSON.parse(MUSTER_SIM)
	const child = spawn(program, args, { stdio: 'ignore' })
	children.push(child)
	return child
}

const statusOf = (page) => page.locator(`tr[data-device="${MUSTER_DEVICE}"] [data-testid=status]`)
const reads = (locator, text, options) => locator.filter({ hasText: new RegExp(`^\\W*${text}\\W*$`, 'i') }).first().waitFor(options)
const BACKOFF = { timeout: 300000 } // a device that was refused for a while waits before it tries again

const identity = (page) => page.getByTestId('identity')
const tagOf = (page, id) => page.locator(`tr[data-device="${id}"] [data-testid=revoked]`)

// By keyboard alone; the first try with another device's id is not taken.
async function revoke(page, id, reason) {
	await page.getByTestId('revoke').getByRole('button', { name: 'Revoke…' }).focus()
	await page.keyboard.press('Enter')
	const dialog = page.getByRole('dialog')
	await page.keyboard.type(`not-${id}`)
	await page.keyboard.press('Enter')
	assert.ok(await dialog.isVisible(), 'only the right id revokes')
	await page.keyboard.press('Control+A')
	await page.keyboard.type(id)
	await page.keyboard.press('Tab')
	await page.keyboard.type(reason)
	await accessible(page, 'revoke dialog')
	await looks(page, 'revoke', { fullPage: false })
	await page.keyboard.press('Enter')
}

async function restore(page) {
	await page.getByTestId('restore').getByRole('button', { name: 'Restore…' }).click()
	await page.getByRole('dialog').getByRole('button', { name: 'Restore it' }).click()
	await page.getByTestId('standing').filter({ hasText: /^Let in again .* by admin\./ }).waitFor()
}

async function inEffect(page) {
	const effect = page.getByTestId('effect').filter({ hasText: /In effect in cell 1 after \d+\.\d{3} s\./ })
	await effect.waitFor()
	const seconds = Number(/after ([\d.]+) s/.exec(await effect.innerText())[1])
	assert.ok(seconds < 60, `in effect after ${seconds} s`)
}

// A token for this device alone, shown once; the device that uses it is the same one.
async function enrolAgain(page) {
	const serial = await identity(page).locator('.facts code').first().getAttribute('title')
	await page.getByRole('button', { name: 'Enrol again…' }).click()
	await accessible(page, 'enrol again dialog')
	await page.getByRole('dialog').getByRole('button', { name: 'Make a token' }).click()
	const ticket = page.getByTestId('ticket')
	await ticket.filter({ hasText: 'muster-agent enroll --again --token-file -' }).waitFor()
	await looks(page, 'enrol-again')
	const token = await page.getByTestId('token').locator('code').getAttribute('title')
	assert.match(token, /^[A-Za-z0-9_-]{43}$/)
	const { url, csr } = JSON.parse(MUSTER_ENROLL)
	assert.equal((await page.request.post(url, { data: { token, csr } })).status(), 201)
	await ticket.waitFor({ state: 'detached' }) // with the new certificate it has done its work
	const next = await identity(page).locator('.facts code').first().getAttribute('title')
	assert.notEqual(next, serial)
	await page.getByTestId('standing').filter({ hasText: /^Let in again .* by enrolment: the device was enrolled again/ }).waitFor()
}

async function operatorMayNotRestore(page) {
	const session = '**/api/v1/session'
	const operator = { name: 'op', role: 'operator', can_act: true, expires_at: new Date(), version: '' }
	await page.route(session, (route) => route.fulfill({ json: operator }))
	await page.goto(new URL('/devices/script-2', MUSTER_LINK).href)
	await identity(page).getByText('Only an administrator can restore it.').waitFor()
	assert.equal(await page.getByRole('button', { name: 'Restore…' }).count(), 0)
	assert.equal(await page.getByRole('button', { name: 'Enrol again…' }).count(), 0)
	await page.unroute(session)
}

async function revokeAndRestore(context, page, faults) {
	const other = await context.newPage()
	other.setDefaultTimeout(180000)
	await other.goto(new URL('/devices', MUSTER_LINK).href)
	await other.getByTestId('devices').waitFor()
	assert.equal(await other.getByTestId('revoked').count(), 0)

	const serial = identity(page).locator('code').first()
	assert.match(await serial.innerText(), /^[0-9a-f]{8}…[0-9a-f]{8}$/)
	assert.match(await serial.getAttribute('title'), /^[0-9a-f]{20,}$/)
	assert.match(await page.getByTestId('certificate').innerText(), /^Valid, \d+ days left$/)

	// What the server refuses is said where it was asked for.
	const refused = '**/api/v1/devices/*/revoke'
	await page.route(refused, (route) => route.fulfill({ status: 403, json: { detail: 'Not you.' } }))
	await revoke(page, MUSTER_DEVICE, 'no')
	await identity(page).getByRole('alert').filter({ hasText: 'Not you. Your role may not revoke devices: ask an administrator.' }).waitFor()
	assert.equal(await page.getByTestId('revoked').count(), 0)
	await page.unroute(refused)

	await revoke(page, MUSTER_DEVICE, 'left in a taxi')
	await page.getByTestId('standing').filter({ hasText: /^Revoked .* by admin: left in a taxi\./ }).waitFor()
	await inEffect(page)
	await reads(page.getByTestId('status'), 'offline')
	await page.getByTestId('why').filter({ hasText: 'It is revoked (left in a taxi): the broker refuses it' }).waitFor()
	assert.equal(await identity(page).getByRole('alert').count(), 0)
	await reads(tagOf(other, MUSTER_DEVICE), 'revoked')
	await reads(statusOf(other), 'offline')
	await looks(page, 'revoked')

	await other.getByRole('button', { name: /^Revoked/ }).click()
	await other.waitForFunction(() => document.querySelectorAll('tr[data-device]').length === 1)
	await looks(other, 'fleet-revoked')
	await other.getByRole('button', { name: /^All/ }).click()
	await other.getByLabel('Filter devices').fill(MUSTER_DEVICE.slice(0, -1))
	await other.waitForFunction(() => document.querySelectorAll('tr[data-device]').length === 1)
	await reads(tagOf(other, MUSTER_DEVICE), 'revoked')
	await other.getByLabel('Filter devices').fill('')
	await other.locator('tr[data-device=script-2]').waitFor()

	await restore(page)
	await inEffect(page)
	await reads(page.getByTestId('status'), 'online', BACKOFF)
	await tagOf(other, MUSTER_DEVICE).waitFor({ state: 'detached' })

	// One that was never in contact does not change its state, and is shown live all the same.
	await page.goto(new URL('/devices/script-2', MUSTER_LINK).href)
	await identity(page).waitFor()
	assert.doesNotMatch(await page.getByTestId('why').innerText(), /Last message/)
	assert.equal(await page.getByTestId('certificate').innerText(), '5 days left: see why it is not renewed')
	assert.match(await page.getByTestId('mismatches').innerText(), /^3 times, last \d+ min ago as b0b0b0b0…b0b0b0b0/)
	await revoke(page, 'script-2', '')
	await page.getByTestId('standing').filter({ hasText: /^Revoked .* by admin\./ }).waitFor()
	await reads(tagOf(other, 'script-2'), 'revoked')
	await operatorMayNotRestore(other)
	await restore(page)
	await inEffect(page)
	await looks(page, 'restored')
	await enrolAgain(page)
	await other.goto(new URL('/devices', MUSTER_LINK).href)
	await other.locator('tr[data-device=script-2]').waitFor()
	assert.equal(await tagOf(other, 'script-2').count(), 0)
	await other.close()
	assert.deepEqual(faults, [])
}

// ---- the form for commands ----

const form = (page) => page.getByRole('dialog')
const row = (page, action) => page.locator('tr[data-command]', { has: page.getByRole('button', { name: action, exact: true }) }).first()
const stateOf = (page, action) => row(page, action).getByTestId('command-state')

async function compose(page, action) {
	await page.getByRole('button', { name: 'Send command…' }).click()
	await form(page).getByLabel('Action').selectOption(action)
}

const send = (page, action) => form(page).getByRole('button', { name: `Send ${action}` }).click()

// By keyboard alone, from the button to the end.
async function composePing(page) {
	await page.getByRole('button', { name: 'Send command…' }).focus()
	await page.keyboard.press('Enter')
	await form(page).waitFor()
	assert.equal(await page.evaluate(() => document.activeElement.id), 'compose-action')
	await page.keyboard.press('Escape')
	await form(page).waitFor({ state: 'detached' })
	assert.match(await page.evaluate(() => document.activeElement.textContent), /^Send command/)
	await page.keyboard.press('Enter')
	await form(page).waitFor()
	await page.keyboard.type('ping')
	assert.match(await form(page).innerText(), /Ask the device whether it is there\./)
	await page.keyboard.press('Tab')
	await page.keyboard.press('Tab')
	await page.keyboard.press('Tab')
	await page.keyboard.press('Tab')
	await page.keyboard.press('Tab')
	await page.keyboard.press('Tab')
	assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Send ping')
	await page.keyboard.press('Enter')
	await form(page).waitFor({ state: 'detached' })
	await reads(stateOf(page, 'ping'), 'succeeded')
	await row(page, 'ping').getByRole('button', { expanded: true }).waitFor() // opened, as it was sent by the form
}

async function refuseRing(context, page) {
	await compose(page, 'ring')
	await form(page).getByLabel('seconds').fill('999')
	await send(page, 'ring')
	await form(page).getByText('A whole number from 1 to 300.').waitFor()
	assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-invalid')), 'true')
	await looks(page, 'form-refused', { fullPage: false })
	await form(page).getByLabel('seconds').fill('3')
	assert.equal(await form(page).locator('[aria-invalid=true]').count(), 0)
	await form(page).getByText('The same from a shell').click()
	assert.match(await form(page).getByTestId('as-cli').innerText(),
		new RegExp(`^muster command send ${MUSTER_AGENT} ring --params '{"seconds":3}'\\s`))
	await form(page).getByRole('button', { name: 'mosquitto_pub' }).click()
	assert.match(await form(page).getByTestId('as-mqtt').innerText(),
		/-t ops\/v1\/op\.NAME\/request -m '{"device":"[a-z0-9-]+","action":"ring","params":{"seconds":3}}'\s/)
	await looks(page, 'form-shell', { fullPage: false })
	await page.keyboard.press('Escape')

	// A page that knows less than the server: what the server refuses is said at the form.
	const other = await context.newPage()
	other.setDefaultTimeout(180000)
	await other.route('**/api/v1/actions', async (route) => {
		const answer = await (await route.fetch()).json()
		answer.items.find((one) => one.action === 'ring').params.properties.seconds.maximum = 9999
		await route.fulfill({ json: answer })
	})
	await other.goto(page.url())
	await compose(other, 'ring')
	await form(other).getByLabel('seconds').fill('999')
	await send(other, 'ring')
	await form(other).getByRole('alert').filter({ hasText: '"seconds" must be an integer from 1 to 300' }).waitFor()
	assert.equal(await form(other).getByLabel('seconds').inputValue(), '999', 'what was typed stays')
	await other.close()
	assert.equal(await row(page, 'ring').count(), 0)
}

// Destructive; its output comes while it runs, and it is ended from here.
async function runAndCancel(page) {
	await compose(page, 'run')
	await form(page).getByLabel('argv').fill('/bin/sh\n-c\necho first; echo second; sleep 300')
	await form(page).getByLabel(`Type ${MUSTER_AGENT} to confirm`).fill('another')
	await send(page, 'run')
	await form(page).getByText(`Type ${MUSTER_AGENT} here.`).waitFor()
	await looks(page, 'form-destructive', { fullPage: false })
	assert.equal(await row(page, 'run').count(), 0, 'nothing is sent without the confirmation')
	await form(page).getByLabel(`Type ${MUSTER_AGENT} to confirm`).fill(MUSTER_AGENT)
	await send(page, 'run')
	await reads(stateOf(page, 'run'), 'running')
	await page.getByTestId('output').filter({ hasText: /first\s+second/ }).waitFor()

	const list = '**/api/v1/commands?*'
	await page.route(list, async (route) => {
		const answer = await (await route.fetch()).json()
		answer.items.filter((one) => one.state === 'running').forEach((one) => { one.progress = 40 })
		await route.fulfill({ json: answer })
	})
	// What the stream says of it again, having just changed, would be the truth.
	const stream = '**/api/v1/stream?*'
	await page.route(stream, (route) => route.fulfill({ contentType: 'text/event-stream', body: '' }))
	await page.reload()
	await row(page, 'run').getByText('40 %').waitFor()
	await page.unroute(list)
	await page.unroute(stream)
	await row(page, 'run').getByRole('button', { name: 'run', exact: true }).click()
	await page.getByTestId('output').waitFor()
	await looks(page, 'form-running')
	await row(page, 'run').getByRole('button', { name: 'Cancel run' }).click()
	await reads(stateOf(page, 'run'), 'cancelled')
}

// For a device that is not there: in its window, days ahead.
async function cancelWaiting(page) {
	await compose(page, 'reboot')
	await form(page).getByRole('button', { name: 'In its window' }).click()
	await form(page).getByText(/^Its maintenance window: \w{3}, 02:00 to 05:00 \(Europe\/Berlin\)\.$/).waitFor()
	await form(page).getByLabel('Type script-2 to confirm').fill('script-2')
	await looks(page, 'form-window', { fullPage: false })
	await send(page, 'reboot')
	await reads(stateOf(page, 'reboot'), 'queued')
	await page.getByText('Held until').waitFor()
	await viewerSeesNoForm(page)
	await row(page, 'reboot').getByRole('button', { name: 'Cancel reboot' }).click()
	await reads(stateOf(page, 'reboot'), 'cancelled')
	assert.equal(await row(page, 'reboot').getByRole('button', { name: /^Cancel/ }).count(), 0)
}

// The answer is lost, but the request was not: sent again, it is the same command.
async function sendAgain(page) {
	const other = await page.context().newPage()
	other.setDefaultTimeout(180000)
	await other.goto(page.url())
	await compose(other, 'ping')
	await form(other).getByRole('button', { name: 'At a time' }).click()
	await send(other, 'ping')
	await form(other).getByText('Say the day and the time.').waitFor()
	await form(other).getByLabel('Not before').fill(new Date(Date.now() + 86_400_000).toISOString().slice(0, 16))
	const posts = '**/api/v1/commands'
	await other.route(posts, async (route) => {
		await route.fetch()
		await route.abort()
	})
	await send(other, 'ping')
	await form(other).getByRole('alert').filter({ hasText: 'Send it again: if it did arrive, it is not taken twice.' }).waitFor()
	await looks(other, 'form-again', { fullPage: false })
	await other.unroute(posts)
	await send(other, 'ping')
	await form(other).waitFor({ state: 'detached' })
	await reads(stateOf(other, 'ping'), 'queued')
	const answer = await other.request.get(new URL('/api/v1/commands?device=script-2&action=ping', MUSTER_LINK).href)
	assert.equal((await answer.json()).items.length, 1)
	await row(other, 'ping').getByRole('button', { name: 'Cancel ping' }).click()
	await reads(stateOf(other, 'ping'), 'cancelled')
	await other.close()
}

async function viewerSeesNoForm(page) {
	const viewer = await page.context().newPage()
	viewer.setDefaultTimeout(180000)
	await viewer.route('**/api/v1/session', (route) =>
		route.fulfill({ json: { name: 'eve', role: 'viewer', can_act: false, expires_at: new Date(), version: '' } }))
	await viewer.goto(page.url())
	await reads(stateOf(viewer, 'reboot'), 'queued')
	assert.equal(await viewer.getByRole('button', { name: /^Send |^Cancel/ }).count(), 0)
	await viewer.close()
}

async function commandsByForm(context, page) {
	await page.goto(new URL(`/devices/${MUSTER_AGENT}`, MUSTER_LINK).href)
	await reads(page.getByTestId('status'), 'online')
	await composePing(page)
	await refuseRing(context, page)
	await runAndCancel(page)
	await page.goto(new URL('/devices/script-2', MUSTER_LINK).href)
	await cancelWaiting(page)
	await sendAgain(page)
}

async function watchAndAct(browser) {
	const { context, page, faults } = await open(browser)
	await page.goto(MUSTER_LINK)
	await page.getByTestId('overview').waitFor()
	assert.ok(!page.url().includes('#'), 'the token is gone from the address bar')
	await page.evaluate(() => { globalThis.notReloaded = true })
	await page.getByRole('navigation').getByRole('link', { name: 'Devices' }).click()
	await page.getByTestId('devices').waitFor()
	await accessible(page, 'fleet')

	let device = simulate()
	await reads(statusOf(page), 'online')
	device.kill('SIGTERM')
	await once(device, 'exit')
	await reads(statusOf(page), 'offline')
	device = simulate()
	await reads(statusOf(page), 'online')
	assert.ok(await page.evaluate(() => globalThis.notReloaded), 'all of that without a reload')

	await page.locator(`tr[data-device="${MUSTER_DEVICE}"] a`).first().click()
	await page.getByTestId('why').waitFor()
	await page.getByTestId('chart').first().waitFor()
	await page.getByRole('button', { name: 'Send ping' }).click()
	await reads(page.getByTestId('command-state'), 'succeeded')
	await page.getByTestId('lost').first().waitFor()
	assert.match(await page.getByTestId('lost').first().innerText(), /\b0\b/)
	await accessible(page, 'device')
	await shot(page, 'device')
	await commandsByForm(context, page)
	await page.goto(new URL(`/devices/${MUSTER_DEVICE}`, MUSTER_LINK).href)
	await identity(page).waitFor()
	await revokeAndRestore(context, page, faults)

	for (const path of ['/commands', '/events']) {
		await page.goto(new URL(path, MUSTER_LINK).href)
		await page.getByTestId(path.slice(1)).waitFor()
		await accessible(page, path)
	}

	// What a device says is text, whatever it says.
	await page.goto(new URL('/devices/script-1', MUSTER_LINK).href)
	await page.getByText('window.injected').first().waitFor()
	assert.equal(await page.evaluate(() => globalThis.injected), undefined)
	const gap = page.getByTestId('gaps').locator('li')
	assert.match(await gap.innerText(), /^Missing\s+3 to 4\s/)
	assert.match(await page.getByTestId('lost').innerText(), /^0 lost$/) // not yet
	await accessible(page, 'device with a gap')

	// At 360 px nothing is wider than the screen.
	await page.setViewportSize({ width: 360, height: 780 })
	await page.goto(new URL('/devices', MUSTER_LINK).href)
	await page.getByTestId('devices').waitFor()
	assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 360), 'no sideways scrolling at 360 px')
	await shot(page, 'fleet-360')

	await page.setViewportSize({ width: 1440, height: 900 })
	const cookies = await context.cookies()
	const session = cookies.find((cookie) => cookie.name === '__Host-muster')
	assert.ok(session.secure && session.httpOnly && session.sameSite === 'Strict')
	await page.getByRole('button', { name: /administrator$/ }).click()
	await page.getByRole('button', { name: 'Log out' }).click()
	await page.getByLabel('Password').waitFor()
	await context.addCookies([session])
	const answer = await page.request.get(new URL('/api/v1/devices', MUSTER_LINK).href)
	assert.equal(answer.status(), 401, 'a session that was logged out is dead on the server')
	assert.deepEqual(faults, [])

	const second = await open(browser)
	await second.page.goto(MUSTER_LINK)
	await second.page.getByLabel('Password').waitFor()
	assert.equal(await second.page.getByTestId('devices').count(), 0, 'the link works once')
}

try {
	await withBrowser(watchAndAct)
} finally {
	for (const child of children) child.kill('SIGTERM')
}
