// The live console in the page, driven against a real stack and its real broker by test_console.py, while MUSTER_DEVICE
// reports five times a second.
import assert from 'node:assert/strict'
import { address, looks, open, withBrowser } from './page.mjs'

const { MUSTER_LINK, MUSTER_DEVICE, MUSTER_OTHER } = process.env
const reading = (page) => page.getByTestId('console-state').filter({ hasText: /Reading/ })
const lines = (page) => page.getByTestId('messages').locator('[data-topic]')

// Every line there is, from top to bottom: id to seq.
async function all(page) {
	const seen = new Map()
	const box = page.getByTestId('messages')
	const [height, view] = await box.evaluate((one) => [one.scrollHeight, one.clientHeight])
	for (let top = 0; top < height; top += view) {
		await box.evaluate((one, y) => { one.scrollTop = y }, top)
		await page.waitForFunction((y) => {
			const drawn = document.querySelector('.console .drawn')
			return new DOMMatrix(getComputedStyle(drawn).transform).m42 <= y
		}, top)
		for (const [id, text] of await lines(page).evaluateAll((found) => found.map((one) => [one.id, one.innerText])))
			seen.set(Number(id.split('-')[1]), Number(/"seq": (\d+)/.exec(text)?.[1]))
	}
	return [...seen].sort(([a], [b]) => a - b).map(([, seq]) => seq)
}

// A credential that seems to end soon is renewed by a second connection: nothing is missing, nothing comes twice.
async function renewed(page) {
	let asked = 0
	await page.route('**/api/v1/console', async (route) => {
		const answer = await route.fetch()
		asked++
		await route.fulfill({ response: answer, json: { ...await answer.json(), expires_at: new Date(Date.now() + 3000).toISOString() } })
	})
	await page.goto(address(`/console?query=device:${MUSTER_DEVICE}&topic=telemetry`))
	await reading(page).waitFor()
	const until = Date.now() + 180000
	while (asked < 2 && Date.now() < until) await page.waitForResponse('**/api/v1/console')
	assert.ok(asked >= 2, 'it is renewed')
	const before = await lines(page).last().innerText()
	await page.waitForFunction((text) => [...document.querySelectorAll('.line')].at(-1).innerText !== text, before)
	await page.waitForFunction(() => document.querySelectorAll('.line[data-topic]').length > 20)
	await page.getByRole('button', { name: 'Pause' }).click()
	assert.equal(await page.locator('.line.gap').count(), 0)
	const seqs = await all(page)
	assert.deepEqual(seqs, seqs.map((_, i) => seqs[0] + i), 'each message once and in its order')
	await page.unroute('**/api/v1/console')
}

async function looked(page) {
	await page.goto(address(`/console?query=device:${MUSTER_DEVICE}`))
	await reading(page).waitFor()
	await page.locator(`[data-topic="fleet/v1/${MUSTER_DEVICE}/telemetry"]`).first().waitFor()
	await page.getByTestId('rate').filter({ hasText: /[1-9]/ }).waitFor()
	await page.locator(`[data-topic="fleet/v1/${MUSTER_DEVICE}/telemetry"]`).first().click()
	assert.match(await page.getByTestId('payload').innerText(), /^\{\n {2}"epoch": ".*"battery_pct": 61,/s)
	assert.equal(await page.evaluate(() => globalThis.injected), undefined, 'what a device says is text')
	await page.getByRole('button', { name: 'Pause' }).click()
	await page.getByRole('button', { name: /^Go on \(\d+\)/ }).waitFor()
	await looks(page, 'console')
	await page.setViewportSize({ width: 1440, height: 900 })
	await page.getByRole('button', { name: /^Go on/ }).click()
	await page.getByRole('button', { name: 'Close' }).click()
	await page.getByTestId('messages').focus()
	await page.keyboard.press('k')
	await page.getByTestId('payload').waitFor()
	await page.keyboard.press('Escape')
	await page.getByTestId('payload').waitFor({ state: 'detached' })
	await page.getByLabel('Find in messages').fill('no such word')
	await page.getByText('No message matches').waitFor()
	await page.getByLabel('Find in messages').fill('')
	await lines(page).first().waitFor()
	await page.getByLabel('Topic').selectOption('event')
	await reading(page).waitFor()
	await page.getByRole('button', { name: 'Clear' }).click()
	await page.getByText('Quiet').waitFor()
	assert.match(page.url(), /topic=event/)
}

await withBrowser(async (browser) => {
	const { page, faults } = await open(browser)
	const answer = await page.goto(MUSTER_LINK)
	assert.match(answer.headers()['content-security-policy'], /connect-src 'self' wss:\/\/localhost:\d+; /)
	await page.getByTestId('live').waitFor()
	await page.goto(address('/console'))
	await page.getByText('Choose devices').waitFor()
	await looked(page)
	await renewed(page)
	await page.goto(address('/console?query=device:none-such'))
	await page.getByText('No device matches').waitFor()
	// Nobody says anything of a device that was not chosen.
	await page.goto(address(`/console?query=device:${MUSTER_OTHER}`))
	await reading(page).waitFor()
	assert.equal(await page.locator(`[data-topic*="${MUSTER_DEVICE}"]`).count(), 0)
	assert.deepEqual(faults, [])
})
