// People on the page: an administrator makes an account; its owner chooses a password, sets up a second factor, logs in in two
// steps, makes a key and ends a session; a forgotten password; the audit and its chain.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { accessible, address, looks, open, withBrowser } from './page.mjs'

const { MUSTER_LINK } = process.env
const PASSWORD = 'correct horse battery'
const codeOf = (secret) => execFileSync('oathtool', ['--totp', '-b', secret], { encoding: 'utf8' }).trim()

async function logIn(page, name, password) {
	await page.goto(address('/login'))
	await page.getByLabel('Name').fill(name)
	await page.getByLabel('Password').fill(password)
	await page.getByRole('button', { name: 'Log in' }).click()
}

await withBrowser(async (browser) => {
	const boss = await open(browser)
	await boss.page.goto(MUSTER_LINK)
	await boss.page.getByTestId('live').waitFor({ state: 'attached' }) // the link is used up, the cookie is there
	await boss.page.goto(address('/users'))
	await boss.page.getByRole('button', { name: 'New person…' }).click()
	const dialog = boss.page.getByRole('dialog')
	await dialog.getByLabel('Name').fill('nora')
	await dialog.getByLabel('E-mail').fill('nora@example.org')
	await dialog.getByRole('button', { name: 'Make the account' }).click()
	const link = await boss.page.getByTestId('login-link').locator('code').getAttribute('title')
	await boss.page.getByTestId('users').getByRole('rowheader', { name: 'nora' }).waitFor()
	await looks(boss.page, 'users')

	// By the link, to a password and a second factor.
	const nora = await open(browser)
	await nora.page.goto(link)
	await nora.page.getByTestId('live').waitFor({ state: 'attached' })
	await nora.page.goto(address('/account'))
	await nora.page.getByLabel('New password').fill(PASSWORD)
	await nora.page.getByRole('button', { name: 'Choose this password' }).click()
	await nora.page.getByText('Your other sessions have ended').waitFor()
	await nora.page.getByRole('button', { name: 'Set up a second factor' }).click()
	const secret = await nora.page.getByTestId('totp-secret').locator('code').getAttribute('title')
	await nora.page.getByRole('img', { name: 'QR code' }).waitFor()
	await looks(nora.page, 'account-totp')
	await nora.page.getByLabel('The code that the app shows').fill(codeOf(secret))
	await nora.page.getByRole('button', { name: 'Turn it on' }).click()
	await nora.page.getByTestId('recovery-codes').waitFor()
	const recovery = await nora.page.getByTestId('recovery-codes').locator('code').allTextContents()
	assert.equal(recovery.length, 10)
	await accessible(nora.page, 'recovery codes')
	await nora.page.getByRole('button', { name: 'I have kept them' }).click()
	await nora.page.getByTestId('second-factor').getByText('On since').waitFor()

	// In two steps, from another browser; a wrong code first.
	const far = await open(browser, { userAgent: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0.0.0 Safari/537.36' })
	await logIn(far.page, 'nora', PASSWORD)
	const field = far.page.getByLabel('From the authenticator app')
	await field.fill('000000')
	await far.page.getByRole('button', { name: 'Continue' }).click()
	await far.page.getByRole('alert').getByText('Name, password or code is wrong.').waitFor()
	await looks(far.page, 'login-code')
	await field.fill(recovery[0])
	await far.page.getByRole('button', { name: 'Continue' }).click()
	await far.page.getByTestId('live').waitFor({ state: 'attached' })

	// Both sessions are listed; the other one is ended, and its page is back at the login.
	await nora.page.reload()
	const sessions = nora.page.getByTestId('sessions')
	await sessions.getByRole('rowheader', { name: 'Chrome on Windows' }).waitFor()
	await sessions.getByText('this one').waitFor()
	await looks(nora.page, 'account')
	await sessions.locator('tr', { hasText: 'Chrome on Windows' }).getByRole('button', { name: 'End' }).click()
	await far.page.getByRole('heading', { name: 'Log in to Muster' }).waitFor()

	// A key, shown once.
	await nora.page.getByRole('button', { name: 'New API key…' }).click()
	const key = nora.page.getByRole('dialog')
	await key.getByLabel('What it is for').fill('a script')
	await key.getByLabel('read').check()
	await accessible(nora.page, 'new key')
	await key.getByRole('button', { name: 'Make the key' }).click()
	const made = await nora.page.getByTestId('new-key').locator('code').getAttribute('title')
	const seen = await fetchStatus(nora.page, made)
	assert.equal(seen, 200)
	await nora.page.getByTestId('api-keys').getByText('read').waitFor()

	// A viewer does not see the administrators' places.
	await nora.page.goto(address('/'))
	await nora.page.getByTestId('live').waitFor({ state: 'attached' })
	assert.equal(await nora.page.locator('a[href="/users"], a[href="/audit"]').count(), 0)

	// A forgotten password.
	await far.page.getByRole('link', { name: 'Forgot the password?' }).click()
	await far.page.getByLabel('Name or e-mail address').fill('nora@example.org')
	await looks(far.page, 'reset')
	await far.page.getByRole('button', { name: 'Send me a link' }).click()
	await far.page.getByText('a link is on its way').waitFor()
	await far.page.goto(address(`/reset#${'A'.repeat(43)}`))
	await far.page.getByLabel('New password').fill(PASSWORD)
	await far.page.getByRole('button', { name: 'Choose this password' }).click()
	await far.page.getByRole('alert').getByText('used up').waitFor()
	assert.equal(new URL(far.page.url()).hash, '', 'the token left the address bar')

	// The audit has all of it, and is whole.
	await boss.page.goto(address('/audit'))
	const audit = boss.page.getByTestId('audit')
	await audit.getByText('totp.confirm').first().waitFor()
	await boss.page.getByRole('button', { name: 'Check the chain' }).click()
	await boss.page.getByTestId('chain').getByText('nothing missing and nothing changed').waitFor()
	await looks(boss.page, 'audit')
	await boss.page.getByLabel('Action', { exact: true }).fill('api-key.create')
	await boss.page.keyboard.press('Enter')
	await boss.page.waitForFunction(() => {
		const rows = [...document.querySelectorAll('[data-testid=audit] tbody tr')]
		return rows.length > 0 && rows.every((row) => row.textContent.includes('api-key.create'))
	})
	assert.match(boss.page.url(), /action=api-key\.create/)

	// Rights are changed on the page; her session ends with them.
	await boss.page.goto(address('/users?q=nora'))
	await boss.page.getByRole('button', { name: 'Change…' }).click()
	const change = boss.page.getByRole('dialog')
	await change.getByLabel('Role').selectOption('operator')
	await accessible(boss.page, 'change')
	await change.getByRole('button', { name: 'Save' }).click()
	await boss.page.getByTestId('users').getByText('operator', { exact: true }).waitFor()
	await nora.page.getByRole('heading', { name: 'Log in to Muster' }).waitFor()

	// What a page asks for is far below what a person may ask at once (1000), however fast one clicks.
	let calls = 0
	boss.page.on('request', (request) => { calls += request.url().includes('/api/v1/') ? 1 : 0 })
	const places = ['/', '/devices', '/commands', '/events', '/users', '/audit', '/account']
	for (const place of places) {
		await boss.page.goto(address(place))
		await boss.page.getByRole('heading', { level: 1 }).first().waitFor()
		await boss.page.getByTestId('live').getByText('Live', { exact: true }).waitFor()
	}
	console.log(`${calls} requests for ${places.length} views`)
	assert.ok(calls <= 12 * places.length, `${calls} requests for ${places.length} views`)
	assert.deepEqual([...boss.faults, ...nora.faults, ...far.faults], [])
})

async function fetchStatus(page, key) {
	return page.evaluate(async (bearer) => {
		const answer = await fetch('/api/v1/devices', { headers: { Authorization: `Bearer ${bearer}` }, credentials: 'omit' })
		return answer.status
	}, key)
}
