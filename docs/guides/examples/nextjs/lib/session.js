import { createRemoteJWKSet, jwtVerify } from 'jose'
import { headers } from 'next/headers'
import { cache } from 'react'

const auth = process.env.LILYPAD_AUTH_URL ?? 'http://127.0.0.1:8081'
const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', auth))

// The verified claims of who is signed in, or null: `sub`, `sid`, `roles`. Once a request, however many components ask.
export const session = cache(async () => {
  const token = await bearer()
  if (!token) return null
  const { payload } = await jwtVerify(token, keys, {
    issuer: auth, audience: 'frontend', typ: 'at+jwt', algorithms: ['ES256', 'EdDSA'], clockTolerance: 30,
  })
  return payload
})

// A token names nobody: the auth service knows the name and the address that belong to it.
export const user = cache(async () => {
  if (!(await session())) return null
  const answer = await fetch(new URL('/v1/me', auth), { headers: { Authorization: `Bearer ${await bearer()}` }, cache: 'no-store' })
  if (!answer.ok) throw new Error(`the auth service answers ${answer.status}`)
  return answer.json()
})

// The sidecar's token. Only the sidecar can set this header, and a fresh one comes with each request: never keep it.
async function bearer() {
  const [scheme, token] = ((await headers()).get('authorization') ?? '').split(' ')
  return scheme === 'Bearer' ? token : undefined
}
