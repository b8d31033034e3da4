// What devices and people write is text in every view, whatever it is. test_browser.py has put a script into each string that
// somebody can send; none of them may run, and nothing may even try (the policy would say so). Environment, beside what
// page.mjs takes: MUSTER_VIEWS (JSON: [address, a text that shows that the hostile strings are there]).
import assert from 'node:assert/strict'
import { address, open, withBrowser } from './page.mjs'

const { MUSTER_LINK, MUSTER_VIEWS } = process.env

// A text may stand in the page itself, in a field, or in a title.
const shows = (page, text) => page.waitForFunction((wanted) =>
	document.body.innerText.includes(wanted) || document.body.outerHTML.includes(wanted.replaceAll('<', '&lt;')) ||
	[...document.querySelectorAll('input, textarea, option')].some((one) => (one.value + one.textContent).includes(wanted)), text)

const harm = (page) => page.evaluate(() => [
	...(globalThis.__pwned === undefined ? [] : ['a script ran']),
	...globalThis.violations,
	...[...document.querySelectorAll('script:not([src]), iframe, object, embed, [onerror], [onload], a[href^="javascript:" i], base')]
		.map((one) => one.outerHTML.slice(0, 200)),
])

await withBrowser(async (browser) => {
	const { page, context, faults } = await open(browser)
	await context.addInitScript(() => {
		globalThis.violations = []
		addEventListener('securitypolicyviolation', (event) =>
			globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`))
	})
	await page.goto(MUSTER_LINK)
	await page.getByTestId('overview').waitFor()
	for (const [path, text, opens] of JSON.parse(MUSTER_VIEWS)) {
		await page.goto(address(path))
		await page.locator('main').filter({ hasText: /\S/ }).first().waitFor()
		for (const name of opens ?? []) await page.getByRole('button', { name }).first().click()
		await shows(page, text).catch((error) => { throw new Error(`${path} does not show ${text}: ${error.message}`) })
		assert.deepEqual(await harm(page), [], path)
	}
	assert.deepEqual(faults, [])
	// And it would be seen.
	await page.evaluate(() => {
		const image = document.createElement('img')
		image.src = 'https://elsewhere.example/x'
		document.body.append(image, document.createElement('iframe'))
		globalThis.__pwned = 1
	})
	await page.waitForFunction(() => globalThis.violations.length > 0)
	const seen = (await harm(page)).join()
	assert.match(seen, /img-src https:\/\/elsewhere.example/)
	assert.match(seen, /a script ran.*<iframe>/)
})
