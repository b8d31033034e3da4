// What the page says when its live stream dies without a word, driven against a real stack by test_stream.py. Besides what
// page.mjs takes: MUSTER_MUSTER (the program), MUSTER_STATE.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { open, withBrowser } from './page.mjs'

const { MUSTER_LINK, MUSTER_MUSTER, MUSTER_STATE } = process.env
const pid = () => Number(execFileSync(MUSTER_MUSTER, ['stack', 'pid', 'dashboard', '--state', MUSTER_STATE]))
const live = (page) => page.getByTestId('live').filter({ hasText: /^\s*Live\s*$/ })

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

await withBrowser(async (browser) => {
	const { page, faults } = await open(browser)
	await page.goto(MUSTER_LINK)
	await live(page).waitFor()
	await page.evaluate(() => { globalThis.notReloaded = true })
	await silence(page)
	assert.ok(await page.evaluate(() => globalThis.notReloaded))
	assert.deepEqual(faults.filter((text) => !/net::ERR_|EventSource/.test(text)), [])
})
