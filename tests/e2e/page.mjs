// What the tests of the page share: Debian's Chromium, and what must hold in every view. A script is run by browse() of
// page.py, which sets MUSTER_WEB (folder of the page's node_modules), MUSTER_LINK (one-time login link) and MUSTER_SCRATCH
// (folder for what the script leaves for its test). With MUSTER_SHOTS, a folder, there are screenshots to look at.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'

// A guard against waiting for ever, on a machine that is ten times slower, too.
const DEADLINE_MS = 180000
const { MUSTER_WEB, MUSTER_LINK, MUSTER_SHOTS } = process.env
const require = createRequire(join(MUSTER_WEB, 'package.json'))
const { chromium } = require('playwright-core')
const axe = require.resolve('axe-core/axe.min.js')

// Runs test(browser) in a browser of its own, which may have further arguments; says "seen" when it passed.
export async function withBrowser(test, args = []) {
	const browser = await chromium.launch({
		executablePath: '/usr/bin/chromium',
		timeout: DEADLINE_MS,
		args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
			'--disable-component-update', '--disable-sync', ...args],
	})
	try {
		await test(browser)
		console.log('seen')
	} finally {
		await browser.close()
	}
}

export const newContext = (browser, options) => browser.newContext({
	ignoreHTTPSErrors: true, reducedMotion: 'reduce', viewport: { width: 1440, height: 900 }, ...options,
})

// A page of its own context, or of the given one; faults gathers what its script and its console complain of.
export async function open(browser, options = {}, given = null) {
	const context = given ?? await newContext(browser, options)
	context.setDefaultTimeout(DEADLINE_MS)
	const page = await context.newPage()
	page.setDefaultTimeout(DEADLINE_MS)
	const faults = []
	page.on('pageerror', (error) => faults.push(String(error)))
	page.on('console', (message) => {
		if (message.type() === 'error' && !message.text().includes('status of 4')) faults.push(message.text())
	})
	return { context, page, faults }
}

export const address = (path) => new URL(path, MUSTER_LINK).href

export async function shot(target, name, options) {
	if (MUSTER_SHOTS) await target.screenshot({ path: join(MUSTER_SHOTS, `${name}.png`), ...options })
}

// All rules, or those named.
export async function accessible(page, view, rules) {
	// axe is injected by the test's own tool, past the page's content security policy.
	if (!await page.evaluate(() => 'axe' in globalThis)) await page.evaluate(await readFile(axe, 'utf8'))
	const found = await page.evaluate(async (runOnly) => {
		const { violations } = await globalThis.axe.run({ resultTypes: ['violations'], ...(runOnly && { runOnly }) })
		return violations.map((one) => `${one.id}: ${one.nodes[0].html}`)
	}, rules)
	assert.deepEqual(found.map((one) => `${view}: ${one}`), [])
}

// Wide and narrow, light and dark; nothing is wider than the screen. Of what axe looks at, only contrast is another in the dark.
export async function looks(page, name, options) {
	for (const colorScheme of ['dark', 'light']) {
		for (const width of [360, 1440]) {
			await page.emulateMedia({ colorScheme })
			await page.setViewportSize({ width, height: width === 360 ? 780 : 900 })
			// A chart is drawn anew for the width a moment later.
			await page.waitForFunction(() => document.documentElement.scrollWidth <= innerWidth)
			await shot(page, `${name}-${width}-${colorScheme}`, { fullPage: true, ...options })
		}
		await accessible(page, `${name}, ${colorScheme}`, colorScheme === 'dark' ? ['color-contrast'] : undefined)
	}
}
