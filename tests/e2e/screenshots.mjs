// The screenshots in docs/, as screenshots.py wants them: each view at the widths and in the themes that are shown there.
import { join } from 'node:path'
import { address, open, withBrowser } from './page.mjs'

const { MUSTER_LINK, MUSTER_SHOTS } = process.env
const SIZES = { 1440: 900, 360: 780 }
const all = ['1440-light', '1440-dark', '360-light', '360-dark']

// name, path, what has to be there, and which of them
const views = [
	['overview', '/', '[data-testid=history]', all],
	['devices', '/devices', 'tr[data-device]', ['1440-light', '1440-dark', '360-light', '360-dark']],
	['device', '/devices/sim-007', '[data-testid=chart] canvas', all],
	['campaign', '/campaigns/1', 'tr[data-target]', ['1440-light', '360-dark']],
	['alerts', '/alerts', 'main table tbody tr', ['1440-light', '1440-dark', '360-dark']],
	['system', '/system', 'main table tbody tr', all],
	['api', '/api/docs', '[data-route]', ['1440-light', '360-dark']],
]
const names = { 'devices-1440-light': 'fleet' } // as README and others call it

await withBrowser(async (browser) => {
	const { page } = await open(browser)
	await page.goto(MUSTER_LINK)
	await page.getByTestId('overview').waitFor()
	const look = async (variant) => {
		const [width, colorScheme] = variant.split('-')
		await page.emulateMedia({ colorScheme })
		await page.setViewportSize({ width: Number(width), height: SIZES[width] })
	}
	const shoot = (name) => page.screenshot({ path: join(MUSTER_SHOTS, `${names[name] ?? name}.png`) })
	for (const [name, path, there, variants] of views) {
		for (const variant of variants) {
			await look(variant)
			await page.goto(address(path))
			await page.locator(there).first().waitFor()
			await page.waitForFunction(() => !document.querySelector('.skeleton') && document.getAnimations().length === 0)
			await shoot(`${name}-${variant}`)
		}
	}
	await look('360-light')
	await page.goto(address('/'))
	await page.getByTestId('overview').waitFor()
	await page.getByRole('button', { name: 'Menu' }).click()
	await page.getByRole('navigation').getByRole('link', { name: 'System' }).waitFor()
	await shoot('drawer-360-light')
})
