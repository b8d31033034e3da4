// Every view of views.ts, each open in a tab of its own: over a slow network it says that it is loading before it shows what it
// has; the server falls over under it, and over again as it comes up, and the view says so; when the server stays, the view
// is back by itself and shows what changed meanwhile. Besides what page.mjs takes: MUSTER_MUSTER (the program),
// MUSTER_STATE, MUSTER_TABS (JSON: [address, what it shows at first, what it shows after the change]), MUSTER_CHANGE (JSON: a
// command that changes what they show).
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { address, newContext, open, withBrowser } from './page.mjs'

const { MUSTER_WEB, MUSTER_LINK, MUSTER_MUSTER, MUSTER_STATE, MUSTER_TABS, MUSTER_CHANGE } = process.env
const run = promisify(execFile)
const SLOW = { offline: false, latency: 400, downloadThroughput: 50_000, uploadThroughput: 20_000 }
const TABS = 4 // of a context: a browser opens six connections to a server at most for each, and every tab keeps one

// The process of the dashboard; null while there is none.
const pid = async () => {
	const done = await run(MUSTER_MUSTER, ['stack', 'pid', 'dashboard', '--state', MUSTER_STATE]).catch(() => ({ stdout: '' }))
	return Number(done.stdout) > 1 ? Number(done.stdout) : null
}

function kill(id) {
	try {
		process.kill(id, 'SIGKILL')
	} catch (error) {
		if (error.code !== 'ESRCH') throw error // it is between two lives
	}
}

// Each view that there is has its tab here.
async function coversAll(tabs) {
	const source = await readFile(join(MUSTER_WEB, 'src/views.ts'), 'utf8')
	const paths = [...source.matchAll(/path: \/(\^.*?\$)\/,/g)].map(([, path]) => new RegExp(path.replaceAll('\\/', '/')))
	assert.ok(paths.length >= 20, 'views.ts reads as it did')
	const missing = paths.filter((path) => !tabs.some(([to]) => path.test(to.split('?')[0])))
	assert.deepEqual(missing, [], 'each view has a tab in this test')
}

// Whether the page said that it was loading before it had anything to show.
function watchLoading() {
	globalThis.saidLoading = false
	new MutationObserver((_, observer) => {
		if (!document.querySelector('main .skeleton, main [data-testid=working]')) return
		globalThis.saidLoading = true
		observer.disconnect()
	}).observe(document, { childList: true, subtree: true })
}

async function openTab(browser, context, [to, before, after]) {
	const tab = await open(browser, {}, context)
	const network = await context.newCDPSession(tab.page)
	await network.send('Network.enable')
	await network.send('Network.emulateNetworkConditions', SLOW)
	await tab.page.goto(address(to), { waitUntil: 'commit' })
	return { ...tab, to, before, after }
}

const shows = ({ page, to }, text) => page.locator('main').filter({ hasText: new RegExp(text, 'i') }).waitFor()
	.catch((error) => { throw new Error(`${to} does not show ${text}: ${error.message}`) })

const live = ({ page, to }) => page.getByTestId('live').filter({ hasText: /^\s*Live\s*$/ }).waitFor()
	.catch((error) => { throw new Error(`${to} is not live: ${error.message}`) })

async function isThere(tab) {
	await shows(tab, tab.before)
	await live(tab)
	assert.ok(await tab.page.evaluate(() => globalThis.saidLoading), `${tab.to} says that it is loading`)
	assert.doesNotMatch(await tab.page.locator('main').innerText(), new RegExp(tab.after ?? '$^', 'i'), `${tab.to} before the change`)
	await tab.page.evaluate(() => { globalThis.notReloaded = true })
}

async function sayThatItIsLost(tabs) {
	for (const { page } of tabs) await page.getByTestId('banner').filter({ hasText: /Live updates lost \d+ s ago/ }).waitFor()
}

// Killed, and again whenever it comes up, until what the tabs show has been changed and each has said that it may be out of date.
async function fallsOver(tabs) {
	const [program, ...args] = JSON.parse(MUSTER_CHANGE)
	let done = false
	const all = Promise.all([run(program, args), sayThatItIsLost(tabs)]).finally(() => { done = true })
	all.catch(() => {}) // awaited below
	while (!done) {
		const id = await pid()
		if (id) kill(id)
	}
	await all
}

async function isBack(tab) {
	await live(tab)
	await tab.page.getByTestId('banner').waitFor({ state: 'detached' })
	await shows(tab, tab.after ?? tab.before)
	assert.ok(await tab.page.evaluate(() => globalThis.notReloaded), `${tab.to} was not loaded anew`)
	await tab.page.locator('main .fault').first().waitFor({ state: 'detached' })
	// That the server was away, or not ready yet, is said by the browser, and is no fault of the page.
	assert.deepEqual(tab.faults.filter((text) => !/net::ERR_|EventSource|status of 503/.test(text)), [], tab.to)
}

await withBrowser(async (browser) => {
	const wanted = JSON.parse(MUSTER_TABS)
	await coversAll(wanted)
	const { context, page } = await open(browser)
	await page.goto(MUSTER_LINK)
	await page.getByTestId('overview').waitFor()
	const storageState = await context.storageState()
	await context.close()
	const tabs = []
	for (let at = 0; at < wanted.length; at += TABS) {
		const one = await newContext(browser, { storageState })
		await one.addInitScript(watchLoading)
		tabs.push(...await Promise.all(wanted.slice(at, at + TABS).map((tab) => openTab(browser, one, tab))))
	}
	// All go on at once; they are looked at one after the other, so that looking costs them little.
	for (const tab of tabs) await isThere(tab)
	await fallsOver(tabs)
	for (const tab of tabs) await isBack(tab)
}, ['--process-per-site'])
