// Analytics and exports in a browser: what is chosen stands in the address, charts are drawn, an export is asked for, watched and
// fetched; nothing breaks accessibility or the width of a telephone.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { address, looks, open, withBrowser } from './page.mjs'

const { MUSTER_LINK } = process.env

async function analytics(page) {
	await page.goto(address('/analytics?metric=cpu_pct&range=30&devices=dev-1,dev-2&compare=queue'))
	await page.locator('[data-testid=trend] canvas').waitFor()
	await page.locator('[data-testid=compare] canvas').waitFor()
	await page.locator('[data-testid=event-chart] canvas').waitFor()
	assert.match(await page.getByTestId('trend').getAttribute('aria-label'), /average: last .*%/)
	assert.match(await page.getByTestId('event-types').innerText(), /app\.crashed\s+30/)
	await page.getByTestId('uptime').locator('tbody tr').nth(9).waitFor()
	assert.equal(await page.getByTestId('uptime').locator('tbody tr').count(), 10)
	await page.getByTestId('reporters').waitFor()

	// The cursors of all charts move together.
	const box = await page.getByTestId('trend').boundingBox()
	await page.mouse.move(box.x + box.width - 40, box.y + 80)
	await page.waitForFunction(() => /dev-1/.test(document.querySelectorAll('.readout')[1]?.firstElementChild?.textContent ?? ''))

	await page.getByTestId('scope').selectOption('tag:t1')
	await page.waitForFunction(() => location.search.includes('scope=tag%3At1'))
	await page.getByRole('heading', { name: 'CPU, tag t1' }).waitFor()
	await page.getByRole('button', { name: 'Leave out dev-2' }).click()
	await page.waitForFunction(() => /devices=dev-1(&|$)/.test(location.search))
	await page.getByPlaceholder('Device id').fill('dev-3')
	await page.getByRole('button', { name: 'Add', exact: true }).click()
	await page.waitForFunction(() => decodeURIComponent(location.search).includes('devices=dev-1,dev-3'))
	// By keyboard: the cursor goes to the last value, + looks closer, - goes back; and the values as a table.
	await page.getByTestId('trend').focus()
	await page.keyboard.press('End')
	await page.waitForFunction(() => /average \d/.test(document.querySelector('.readout')?.textContent ?? ''))
	await page.keyboard.press('+')
	await page.waitForFunction(() => /from=\d+&to=\d+/.test(location.search))
	await page.getByTestId('closer').waitFor()
	await page.getByTestId('trend').focus()
	await page.keyboard.press('-')
	await page.waitForFunction(() => !location.search.includes('from='))
	await page.getByText('As a table').first().click()
	assert.match(await page.getByRole('region', { name: 'Values' }).first().innerText(), /average[^]*\d %/)
	await page.getByText('As a table').first().click()
	// Dragging over a chart looks closer too.
	await page.locator('[data-testid=trend] canvas').waitFor()
	await page.getByTestId('trend').scrollIntoViewIfNeeded()
	// Again where what is loaded above it has moved it away meanwhile.
	for (let turn = 0; turn < 20 && !page.url().includes('from='); turn++) {
		await page.waitForFunction(() => document.querySelector('[data-testid=trend] .u-over')?.getBoundingClientRect().width > 0)
		const over = await page.locator('[data-testid=trend] .u-over').boundingBox()
		if (!over) continue // it is being drawn anew
		await page.mouse.move(over.x + over.width / 3, over.y + 60)
		await page.mouse.down()
		await page.mouse.move(over.x + over.width / 2, over.y + 70, { steps: 8 })
		await page.mouse.up()
	}
	await page.getByTestId('closer').click()
	await page.waitForFunction(() => !location.search.includes('from='))

	await page.getByPlaceholder('tag:kiosk os:android').fill('device:dev-9')
	await page.waitForFunction(() => document.querySelectorAll('[data-testid=uptime] tbody tr').length === 1)
	assert.match(await page.getByTestId('uptime').innerText(), /dev-9[^]*(39|40) %/)
	await page.reload()
	await page.getByRole('heading', { name: 'CPU, device:dev-9' }).waitFor()
	await page.getByText('The one device that matches now.').waitFor()
	assert.match(await page.getByTestId('together').innerText(), /40|39/)
	await page.getByPlaceholder('tag:kiosk os:android').fill('device:nobody')
	await page.getByText('No device matches').first().waitFor()
	await page.getByRole('button', { name: 'Show all devices' }).click()
	await page.getByTestId('uptime').waitFor()
	await page.locator('[data-testid=compare] canvas').waitFor()
	await looks(page, 'analytics')
}

async function exports(page) {
	await page.goto(address('/exports?kind=devices&q=tag:t1'))
	await page.getByText('No export yet').waitFor()
	assert.equal(await page.getByPlaceholder('tag:kiosk status:offline').inputValue(), 'tag:t1')
	await page.getByText('Columns: all').click()
	for (const name of ['custom', 'agent_version']) await page.getByLabel(name, { exact: true }).uncheck()
	await page.getByRole('button', { name: 'Export', exact: true }).click()
	await page.getByRole('link', { name: 'Download' }).waitFor()
	const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download' }).click()])
	assert.match(download.suggestedFilename(), /^muster-devices-\d{8}-\d{6}\.csv$/)
	const lines = (await readFile(await download.path(), 'utf8')).trim().split('\r\n')
	assert.equal(lines.length, 21)
	assert.ok(lines[0].startsWith('device,display_name') && !lines[0].includes('custom'))

	await page.getByPlaceholder('tag:kiosk status:offline').fill('tag:')
	await page.getByPlaceholder('tag:kiosk status:offline').blur()
	await page.getByRole('button', { name: 'Export', exact: true }).click()
	await page.getByRole('alert').waitFor()
	await page.getByPlaceholder('tag:kiosk status:offline').fill('')
	await page.getByPlaceholder('tag:kiosk status:offline').blur()
	await page.getByRole('button', { name: 'Telemetry' }).click()
	await page.waitForFunction(() => location.search.includes('kind=telemetry'))
	await page.getByLabel('From').waitFor()
	await page.getByRole('button', { name: 'NDJSON' }).click()
	await page.getByRole('button', { name: 'Export', exact: true }).click()
	await page.waitForFunction(() => [...document.querySelectorAll('[data-testid=export-state]')]
		.filter((state) => state.textContent === 'Done').length === 2)
	await looks(page, 'exports')
	await page.getByRole('button', { name: 'Remove the export of telemetry' }).click()
	await page.waitForFunction(() => document.querySelectorAll('[data-testid=exports] tbody tr').length === 1)
}

await withBrowser(async (browser) => {
	const { page, faults } = await open(browser)
	await page.goto(MUSTER_LINK)
	await page.getByRole('heading', { name: 'Overview' }).waitFor()
	await analytics(page)
	await exports(page)
	assert.deepEqual(faults, [])
})
