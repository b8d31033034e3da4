// What a person sees: log in by the one-time link, watch a device come and go without a reload, send a ping and see it end.
// Environment: MUSTER_WEB (folder of the page's node_modules), MUSTER_LINK, MUSTER_SIM (command line of a simulated
// device, JSON array), MUSTER_DEVICE (its id), MUSTER_SHOTS (folder for screenshots).
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const { MUSTER_WEB, MUSTER_LINK, MUSTER_SIM, MUSTER_DEVICE, MUSTER_SHOTS } = process.env
const require = createRequire(join(MUSTER_WEB, 'package.json'))
const { chromium } = require('playwright-core')
const axe = require.resolve('axe-core/axe.min.js')

const browser = await chromium.launch({
	executablePath: '/usr/bin/chromium',
	args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
		'--disable-component-update', '--disable-sync'],
})
const children = []

function simulate() {
	const [program, ...args] = JSON.parse(MUSTER_SIM)
	const child = spawn(program, args, { stdio: 'ignore' })
	children.push(child)
	return child
}

async function open(options = {}) {
	const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1440, height: 900 }, ...options })
	const page = await context.newPage()
	page.setDefaultTimeout(20000)
	const faults = []
	page.on('pageerror', (error) => faults.push(String(error)))
	page.on('console', (message) => {
		if (message.type() === 'error' && !message.text().includes('status of 4')) faults.push(message.text())
	})
	return { context, page, faults }
}

async function accessible(page, view) {
	// axe is injected by the test's own tool, past the page's content security policy.
	await page.evaluate(await (await import('node:fs/promises')).readFile(axe, 'utf8'))
	const { violations } = await page.evaluate(() => globalThis.axe.run())
	assert.deepEqual(violations.map((one) => `${view}: ${one.id}: ${one.nodes[0].html}`), [])
}

const statusOf = (page) => page.locator(`tr[data-device="${MUSTER_DEVICE}"] [data-testid=status]`)
const reads = (locator, text) => locator.filter({ hasText: new RegExp(`^\\W*${text}\\W*$`, 'i') }).first().waitFor()

try {
	const { context, page, faults } = await open()
	await page.goto(MUSTER_LINK)
	await page.getByTestId('devices').waitFor()
	assert.ok(!page.url().includes('#'), 'the token is gone from the address bar')
	await page.evaluate(() => { globalThis.notReloaded = true })
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
	await page.getByTestId('chart').waitFor()
	await page.getByRole('button', { name: 'Send ping' }).click()
	await reads(page.getByTestId('command-state'), 'succeeded')
	await page.getByTestId('lost').first().waitFor()
	assert.match(await page.getByTestId('lost').first().innerText(), /\b0\b/)
	await accessible(page, 'device')
	await page.screenshot({ path: join(MUSTER_SHOTS, 'device.png') })

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
	await page.goto(new URL('/', MUSTER_LINK).href)
	await page.getByTestId('devices').waitFor()
	assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 360), 'no sideways scrolling at 360 px')
	await page.screenshot({ path: join(MUSTER_SHOTS, 'fleet-360.png') })

	await page.setViewportSize({ width: 1440, height: 900 })
	const cookies = await context.cookies()
	const session = cookies.find((cookie) => cookie.name === '__Host-muster')
	assert.ok(session.secure && session.httpOnly && session.sameSite === 'Strict')
	await page.getByRole('button', { name: 'Log out' }).click()
	await page.getByLabel('Password').waitFor()
	await context.addCookies([session])
	const answer = await page.request.get(new URL('/api/v1/devices', MUSTER_LINK).href)
	assert.equal(answer.status(), 401, 'a session that was logged out is dead on the server')
	assert.deepEqual(faults, [])

	const second = await open()
	await second.page.goto(MUSTER_LINK)
	await second.page.getByLabel('Password').waitFor()
	assert.equal(await second.page.getByTestId('devices').count(), 0, 'the link works once')
	console.log('seen')
} finally {
	for (const child of children) child.kill('SIGTERM')
	await browser.close()
}
