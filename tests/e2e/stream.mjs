// What the page says of its live stream, driven against a real stack by test_stream.py: it is restarted under the open page,
// its connection dies without a word, the network is slow. Besides what page.mjs takes: MUSTER_MUSTER (the program),
// MUSTER_STATE, MUSTER_DEVICE.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { address, open, withBrowser } from './page.mjs'

const { MUSTER_LINK, MUSTER_MUSTER, MUSTER_STATE, MUSTER_DEVICE } = process.env
const pid = () => Number(execFileSync(MUSTER_MUSTER, ['stack', 'pid', 'dashboard', '--state', MUSTER_STATE]))
const live = (page) => page.getByTestId('live').filter({ hasText: /^\s*Live\s*$/ })

async function restart(page) {
	const victim = pid()
	await page.evaluate(() => { // it may be said for a moment only
		const look = () => { globalThis.wasLost ||= /Not live/.test(document.querySelector('[data-testid=live]')?.textContent) }
		new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true })
	})
	process.kill(victim, 'SIGKILL')
	await page.waitForFunction(() => globalThis.wasLost)
	await live(page).waitFor()
}

// The process stands still, so its connections are there and say nothing.
async function silence(page) {
	const stopped = pid()
	process.kill(stopped, 'SIGSTOP')
	try {
		await page.getByTestId('banner').filter({ hasText: /Live updates lost (1[2-9]|[2-9]\d|\d{3,}) s ago|lost \d+ min ago/ }).waitFor()
	} finally {
		process.kill(stopped, 'SIGCONT')
	}
	await live(page).waitFor()
	await page.getByTestId('banner').waitFor({ state: 'detached' })
}

async function slowly(context, page) {
	const session = await context.newCDPSession(page)
	await session.send('Network.enable')
	await session.send('Network.emulateNetworkConditions',
		{ offline: false, latency: 400, downloadThroughput: 40_000, uploadThroughput: 20_000 })
	await page.goto(address(`/devices/${MUSTER_DEVICE}`))
	await live(page).waitFor()
	await page.getByTestId('why').waitFor()
}

await withBrowser(async (browser) => {
	const { context, page, faults } = await open(browser)
	await page.goto(MUSTER_LINK)
	await live(page).waitFor()
	await page.evaluate(() => { globalThis.notReloaded = true })
	await restart(page)
	await silence(page)
	assert.ok(await page.evaluate(() => globalThis.notReloaded))
	await slowly(context, page)
	// A restart is heard of in the console, and is no fault of the page.
	assert.deepEqual(faults.filter((text) => !/net::ERR_|EventSource/.test(text)), [])
})
