// The live console with devices of two cells, driven by test_cells.py, which takes the second broker away and brings it back.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { address, open, shot, withBrowser } from './page.mjs'

const { MUSTER_LINK, MUSTER_GONE, MUSTER_BACK } = process.env

const cells = (page, text) => page.getByTestId('cells').filter({ hasText: text }).waitFor({ timeout: 180000 })

async function both(page) {
	for (const device of ['west-c', 'east-c'])
		await page.waitForFunction((topic) => [...document.querySelectorAll('.line')].slice(-8).some((one) => one.dataset.topic === topic),
			`fleet/v1/${device}/telemetry`)
}

await withBrowser(async (browser) => {
	const { page, faults } = await open(browser)
	const answer = await page.goto(MUSTER_LINK)
	assert.match(answer.headers()['content-security-policy'], /connect-src 'self' wss:\/\/localhost:\d+ wss:\/\/localhost:\d+; /)
	await page.getByTestId('live').waitFor()
	await page.goto(address('/console?query=tag:talks'))
	await cells(page, '2 of 2')
	await both(page)
	// Messages that match come no more, so that the gap stays in sight.
	await page.getByLabel('Find in messages').fill('east-c')
	writeFileSync(MUSTER_GONE, '')
	await cells(page, '1 of 2')
	await page.getByText('The connection to cell 2 was lost').waitFor({ timeout: 180000 })
	await page.getByText(/The broker of cell 2/).waitFor({ timeout: 180000 })
	await shot(page, 'console-cells')
	await page.getByLabel('Find in messages').fill('')
	writeFileSync(MUSTER_BACK, '')
	await cells(page, '2 of 2')
	await both(page)
	await page.getByText(/The broker of cell 2/).waitFor({ state: 'detached' })
	// The browser itself complains of a broker that is away.
	assert.deepEqual(faults.filter((fault) => !fault.includes('WebSocket')), [])
})
