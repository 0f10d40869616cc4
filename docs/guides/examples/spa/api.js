import { createServer } from 'node:http'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { WebSocketServer } from 'ws'

const auth = process.env.LILYPAD_AUTH_URL ?? 'http://127.0.0.1:8081'
const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', auth))

// The claims of the sidecar's token; without a good one, an error.
async function verify(req) {
  const [, token] = /^Bearer (.+)$/.exec(req.headers.authorization ?? '') ?? []
  const { payload } = await jwtVerify(token ?? '', keys, {
    issuer: auth, audience: 'frontend', typ: 'at+jwt', algorithms: ['ES256', 'EdDSA'], clockTolerance: 30,
  })
  return payload
}

const pets = new Map() // by user, in this process; a real API has a database here

const server = createServer(async (req, res) => {
  const answer = (status, body) => res.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
  const claims = await verify(req).catch(() => null)
  if (!claims) return answer(401, { title: 'Unauthorized', status: 401 })
  if (req.url !== '/api/pets') return answer(404, { title: 'Not Found', status: 404 })
  if (req.method === 'POST') {
    pets.set(claims.sub, (pets.get(claims.sub) ?? 0) + 1)
    for (const ws of sockets.clients) if (ws.sub === claims.sub) ws.send(pets.get(claims.sub))
  }
  answer(200, { pets: pets.get(claims.sub) ?? 0 })
}).listen(Number(process.env.PORT ?? 3001), '127.0.0.1') // loopback: the sidecar is the only door

const sockets = new WebSocketServer({ noServer: true })
server.on('upgrade', async (req, socket, head) => {
  const claims = await verify(req).catch(() => null)
  if (!claims) return socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
  sockets.handleUpgrade(req, socket, head, (ws) => Object.assign(ws, { sub: claims.sub }))
})
