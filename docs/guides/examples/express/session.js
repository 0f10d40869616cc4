import { createRemoteJWKSet, errors, jwtVerify } from 'jose'

const auth = process.env.LILYPAD_AUTH_URL ?? 'http://127.0.0.1:8081'
const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', auth))

// verify returns the claims of the sidecar's token: `sub`, `sid`, `roles`. Without a token there are none; a bad one is an error.
export async function verify(authorization = '') {
  const [scheme, token] = authorization.split(' ')
  if (scheme !== 'Bearer') return null
  const { payload } = await jwtVerify(token, keys, {
    issuer: auth, audience: 'frontend', typ: 'at+jwt', algorithms: ['ES256', 'EdDSA'], clockTolerance: 30,
  })
  return payload
}

// session is the middleware: req.session is who is signed in, or null.
export async function session(req, res, next) {
  try {
    req.session = await verify(req.headers.authorization)
  } catch (err) {
    if (!(err instanceof errors.JOSEError) || err instanceof errors.JWKSTimeout) throw err
    return res.status(401).set('WWW-Authenticate', 'Bearer error="invalid_token"').end()
  }
  next()
}

// user asks the auth service whose session it is: a token itself names nobody.
export async function user(req) {
  if (!req.session) return null
  const answer = await fetch(new URL('/v1/me', auth), { headers: { Authorization: req.headers.authorization } })
  if (!answer.ok) throw new Error(`the auth service answers ${answer.status}`)
  return answer.json()
}
