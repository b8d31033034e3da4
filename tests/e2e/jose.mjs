// Verifies commands with the npm package jose. Argument: the folder whose node_modules has it. Standard input: {"keys": JWK
// Set, "commands": [JWS], "typ": .., "seal": JWS}; standard output: {"commands": [claims], "refused": how many of them
// are not taken with a bit of their claims flipped, "sealed": ..}.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const require = createRequire(join(process.argv[2], 'package.json'))
const { compactVerify, createLocalJWKSet } = await import(pathToFileURL(require.resolve('jose')))
let text = ''
for await (const chunk of process.stdin)
	text += chunk
const told = JSON.parse(text)
const keys = createLocalJWKSet({ keys: told.keys.keys.map(({ kty, crv, kid, x }) => ({ kty, crv, kid, x })) })
const options = { algorithms: ['EdDSA'] }

async function claims(jws, typ) {
	const { payload, protectedHeader } = await compactVerify(jws, keys, options)
	if (protectedHeader.typ !== typ)
		throw new Error(`typ is ${protectedHeader.typ}`)
	return JSON.parse(new TextDecoder().decode(payload))
}

function flipped(jws) {
	const [head, payload, signature] = jws.split('.')
	const bytes = Buffer.from(payload, 'base64url')
	bytes[bytes.length >> 1] ^= 1
	return [head, bytes.toString('base64url'), signature].join('.')
}

const commands = []
let refused = 0
for (const jws of told.commands) {
	commands.push(await claims(jws, told.typ))
	refused += await claims(flipped(jws), told.typ).then(() => 0, () => 1)
}
const sealed = (await claims(told.seal, 'muster-history+jws')).sha256
console.log(JSON.stringify({ commands, refused, sealed }))
