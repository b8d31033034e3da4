// The page of alerts in a real browser: what is wrong, a rule made by its form, a silence; accessible, narrow and dark, too.
import assert from 'node:assert/strict'
import { accessible, address, looks, open, withBrowser } from './page.mjs'

await withBrowser(async (browser) => {
	const { page, faults } = await open(browser)
	await page.goto(process.env.MUSTER_LINK)
	await page.getByTestId('live').first().waitFor()

	await page.goto(address('/alerts?tab=rules'))
	await page.getByRole('button', { name: 'New rule' }).click()
	const form = page.getByTestId('rule-form')
	await form.getByLabel('What is looked for').selectOption('disk')
	await form.getByLabel('Name').fill('Disk, made here')
	await form.getByLabel('Which devices').fill('battery<')
	await form.getByRole('button', { name: 'Save rule' }).click()
	await form.getByRole('alert').waitFor() // says what is wrong with the query
	await form.getByLabel('Which devices').fill('device:probe')
	await form.getByRole('button', { name: 'Save rule' }).click()
	await page.getByTestId('rules').getByText('Disk, made here').first().waitFor()
	await accessible(page, 'rules')

	await page.goto(address('/alerts'))
	await page.getByTestId('alerts').getByRole('link').first().waitFor()
	await looks(page, 'alerts')
	await page.getByTestId('alerts').getByRole('link').first().click()
	await page.getByRole('button', { name: 'Acknowledge', exact: true }).click()
	await page.getByTestId('alert-events').getByText('Acknowledged').waitFor()
	await accessible(page, 'alert')
	for (const tab of ['silences', 'channels']) {
		await page.goto(address(`/alerts?tab=${tab}`))
		await page.getByRole('button', { name: tab === 'silences' ? 'New silence' : 'New webhook' }).waitFor()
		await accessible(page, tab)
	}
	assert.deepEqual(faults, [])
})
