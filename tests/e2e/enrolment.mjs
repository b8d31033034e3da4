// An administrator lets devices in together, makes a token, imports serial numbers and looks at certificates.
// Environment, beside what page.mjs takes: MUSTER_WAITING (how many devices wait).
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { accessible, address, looks, open, withBrowser } from './page.mjs'

const { MUSTER_LINK, MUSTER_SCRATCH, MUSTER_WAITING } = process.env

async function decideTogether(page) {
	const table = page.getByTestId('waiting')
	await table.locator('tbody tr').nth(Number(MUSTER_WAITING) - 1).waitFor()
	assert.equal(await page.evaluate(() => globalThis.injected), undefined, 'what a device says is text')
	await looks(page, 'enrolment-waiting')
	await page.getByLabel('All shown').check()
	await page.getByLabel('Choose left-out').uncheck()
	await page.getByRole('button', { name: 'Approve all…' }).click()
	await page.getByRole('dialog').getByLabel('Tags for all of them').fill('shop, north')
	await accessible(page, 'approve together')
	await page.getByRole('dialog').getByRole('button', { name: `Approve ${Number(MUSTER_WAITING) - 1}` }).click()
	// The one whose name is taken is told apart, and stays.
	await page.getByTestId('refused').filter({ hasText: 'desk-1 is a device already' }).waitFor()
	await table.locator('tbody tr').nth(2).waitFor({ state: 'detached' })
	const left = await table.locator('tbody tr').allInnerTexts()
	assert.ok(left.length === 2 && left.some((row) => row.includes('left-out')), left.join('|'))
}

async function makeToken(page) {
	await page.getByRole('button', { name: 'Tokens' }).click()
	await page.getByText('No tokens yet').or(page.getByTestId('tokens')).waitFor()
	await page.getByRole('button', { name: 'New token…' }).click()
	await page.getByRole('dialog').getByLabel('How many devices').fill('2')
	await page.getByRole('dialog').getByLabel('Tags that they get').fill('kiosk')
	await accessible(page, 'new token')
	await page.getByRole('dialog').getByRole('button', { name: 'Make it' }).click()
	const token = await page.getByTestId('token').locator('code').getAttribute('title')
	assert.match(token, /^[A-Za-z0-9_-]{43}$/)
	await page.locator('svg.qr').screenshot({ path: join(MUSTER_SCRATCH, 'qr.png') })
	await writeFile(join(MUSTER_SCRATCH, 'token'), token, { mode: 0o600 })
	await looks(page, 'enrolment-token')
	await page.getByRole('button', { name: 'Done' }).click()
	assert.ok(!(await page.content()).includes(token), 'it is told once')
	const row = page.getByTestId('tokens').locator('tbody tr').first()
	await row.getByRole('button', { name: 'Revoke…' }).waitFor()
}

async function importSerials(page) {
	await page.getByRole('button', { name: 'Pre-approved' }).click()
	await page.getByText('The list is empty').waitFor()
	await page.locator('textarea').fill('SN-1,till-1\nSN-2,Bad Name\n')
	await page.getByRole('button', { name: 'Import', exact: true }).click()
	await page.getByRole('alert').filter({ hasText: 'line 2: the device id must match' }).waitFor()
	await looks(page, 'enrolment-import')
	await page.locator('textarea').fill('serial,device,tags\nSN-1,till-1,shop;north\nSN-2\n')
	await page.getByRole('button', { name: 'Import', exact: true }).click()
	await page.getByTestId('imported').filter({ hasText: '2 added' }).waitFor()
	const many = ['serial', ...Array.from({ length: 5000 }, (_, i) => `DELIVERY-${String(i).padStart(6, '0')}`)].join('\n')
	await page.locator('input[type=file]').setInputFiles({ name: 'delivery.csv', mimeType: 'text/csv', buffer: Buffer.from(many) })
	await page.getByTestId('imported').filter({ hasText: '5,000 added' }).waitFor()
	await page.getByRole('searchbox').fill('SN-2')
	await page.locator('tr[data-serial="SN-2"]').waitFor()
	await page.getByRole('button', { name: 'Remove SN-2' }).click()
	await page.getByText('No serial number matches').waitFor()
}

async function takeScript(page) {
	await page.goto(address('/enrolment?show=script'))
	await page.getByRole('button', { name: 'Download muster-enroll.sh' }).waitFor()
	await looks(page, 'enrolment-script')
	await page.getByRole('button', { name: 'Download muster-enroll.sh' }).click()
	// Where no package of the agent was built it says what to do about it.
	await page.getByText('Downloaded.').or(page.getByRole('alert').filter({ hasText: 'enrollment.agents_dir' })).waitFor()
}

async function certificates(page) {
	await page.goto(address('/certificates'))
	const authorities = page.getByTestId('authorities')
	await authorities.getByText('signs').first().waitFor()
	const row = page.getByTestId('certificates').locator('tr', { hasText: 'soon-1' })
	await row.getByText('Renewal overdue').waitFor()
	await looks(page, 'certificates')
	await page.getByRole('button', { name: /^Valid/ }).click()
	await page.getByTestId('certificates').locator('tr', { hasText: 'desk-1' }).waitFor()
	await page.getByRole('searchbox').fill('desk-')
	await page.getByTestId('certificates').locator('tr', { hasText: 'soon-1' }).waitFor({ state: 'detached' })
	assert.match(page.url(), /\?(state=valid&q=desk-|q=desk-&state=valid)$/, 'the address holds what is seen')
	await page.getByRole('button', { name: 'Revoked' }).click()
	await page.getByText('No certificate matches').waitFor()
}

await withBrowser(async (browser) => {
	const { page, faults } = await open(browser)
	await page.goto(MUSTER_LINK)
	await page.getByTestId('live').waitFor()
	await page.goto(address('/enrolment'))
	await decideTogether(page)
	await makeToken(page)
	await importSerials(page)
	await takeScript(page)
	await certificates(page)
	assert.deepEqual(faults, [])
})
