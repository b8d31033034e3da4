// An administrator lets a device in on the page.
import assert from 'node:assert/strict'
import { accessible, open, shot, withBrowser } from './page.mjs'

const { MUSTER_LINK } = process.env

await withBrowser(async (browser) => {
	const { page } = await open(browser)
	await page.goto(MUSTER_LINK)
	const list = page.getByTestId('registrations')
	const wanted = list.locator('tr', { hasText: 'SN-web-1' })
	await wanted.waitFor()
	await accessible(page, 'registrations')
	assert.equal(await page.evaluate(() => globalThis.injected), undefined, 'what a device says is text')
	await shot(page, 'registrations')

	await wanted.getByRole('button', { name: 'Approve…' }).click()
	const dialog = page.getByRole('dialog')
	await dialog.getByLabel('Its name').fill('door-7')
	await shot(page, 'approve')
	await dialog.getByRole('button', { name: 'Approve' }).click()
	await wanted.waitFor({ state: 'detached' })

	const unwanted = list.locator('tr', { hasText: 'SN-web-2' })
	await unwanted.getByRole('button', { name: 'Reject…' }).click()
	await page.getByRole('dialog').getByLabel('Why').fill('not ours')
	await page.getByRole('dialog').getByRole('button', { name: 'Reject' }).click()
	await unwanted.waitFor({ state: 'detached' })
	await page.setViewportSize({ width: 390, height: 844 })
	await shot(page, 'registrations-narrow')
	assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it fits a telephone')
})
