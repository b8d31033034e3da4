// An administrator lets a device in on the page. Environment: MUSTER_WEB, MUSTER_LINK and MUSTER_SHOTS as in browser.mjs.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const { MUSTER_WEB, MUSTER_LINK, MUSTER_SHOTS } = process.env
const require = createRequire(join(MUSTER_WEB, 'package.json'))
const { chromium } = require('playwright-core')
const axe = require.resolve('axe-core/axe.min.js')

const browser = await chromium.launch({
	executablePath: '/usr/bin/chromium',
	args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
		'--disable-component-update', '--disable-sync'],
})
try {
	const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1440, height: 900 } })
	const page = await context.newPage()
	page.setDefaultTimeout(20000)
	await page.goto(MUSTER_LINK)
	const list = page.getByTestId('registrations')
	const wanted = list.locator('tr', { hasText: 'SN-web-1' })
	await wanted.waitFor()
	await page.evaluate(await readFile(axe, 'utf8'))
	const { violations } = await page.evaluate(() => globalThis.axe.run())
	assert.deepEqual(violations.map((one) => `${one.id}: ${one.nodes[0].html}`), [])
	assert.equal(await page.evaluate(() => globalThis.injected), undefined, 'what a device says is text')
	await page.screenshot({ path: join(MUSTER_SHOTS, 'registrations.png') })

	await wanted.getByRole('button', { name: 'Approve…' }).click()
	const dialog = page.getByRole('dialog')
	await dialog.getByLabel('Its name').fill('door-7')
	await page.screenshot({ path: join(MUSTER_SHOTS, 'approve.png') })
	await dialog.getByRole('button', { name: 'Approve' }).click()
	await wanted.waitFor({ state: 'detached' })

	const unwanted = list.locator('tr', { hasText: 'SN-web-2' })
	await unwanted.getByRole('button', { name: 'Reject…' }).click()
	await page.getByRole('dialog').getByLabel('Why').fill('not ours')
	await page.getByRole('dialog').getByRole('button', { name: 'Reject' }).click()
	await unwanted.waitFor({ state: 'detached' })
	await page.setViewportSize({ width: 390, height: 844 })
	await page.screenshot({ path: join(MUSTER_SHOTS, 'registrations-narrow.png') })
	assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it fits a telephone')
	console.log('seen')
} finally {
	await browser.close()
}
