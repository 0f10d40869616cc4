import { createHash } from 'node:crypto'
import { EventEmitter, on } from 'node:events'
import express from 'express'
import multer from 'multer'
import { WebSocketServer } from 'ws'
import * as pages from './pages.js'
import { session, user, verify } from './session.js'

const notes = [] // in this process; a real app has a database here
const noted = new EventEmitter().setMaxListeners(0)

const app = express()
app.disable('x-powered-by')
app.set('trust proxy', 'loopback') // the sidecar, and nobody else: req.ip, req.protocol and req.hostname are the browser's
app.use('/public', express.static('public'))
app.use(session)

app.get('/', async (req, res) => {
  res.writeEarlyHints({ link: '</public/style.css>; rel=preload; as=style' })
  res.send(pages.home(await user(req)))
})

app.get('/login', (req, res) => res.send(pages.login(req.query)))

app.get('/pond', async (req, res) => res.send(pages.pond(await user(req), notes)))

app.post('/pond/notes', express.urlencoded({ extended: false }), async (req, res) => {
  const { name } = await user(req)
  const note = { name, text: String(req.body.text).slice(0, 200) }
  notes.push(note)
  noted.emit('note', note)
  res.redirect(303, '/pond')
})

// Server-sent events. They go on through every refresh, and end with the session.
app.get('/pond/events', async (req, res) => {
  const gone = new AbortController()
  res.on('close', () => gone.abort())
  res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
  res.write(': listening\n\n')
  try {
    for await (const [note] of on(noted, 'note', { signal: gone.signal })) res.write(`data: ${JSON.stringify(note)}\n\n`)
  } catch (err) {
    if (err.name !== 'AbortError') throw err
  }
})

app.post('/pond/files', multer({ limits: { fileSize: 10 << 20 } }).single('file'), (req, res) => {
  const { originalname, size, buffer } = req.file
  res.json({ name: originalname, size, sha256: createHash('sha256').update(buffer).digest('hex') })
})

app.get('/whoami{/*rest}', (req, res) => {
  res.cookie('seen', 'yes', { sameSite: 'lax' }) // cookies of one's own are no business of the sidecar
  res.json({ sub: req.session?.sub ?? null, ip: req.ip, origin: `${req.protocol}://${req.host}`, url: req.originalUrl, cookie: req.headers.cookie ?? '' })
})

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1') // loopback: the sidecar is the only door

// A WebSocket is opened by a request like any other, with the token in it; it ends with the session.
const sockets = new WebSocketServer({ noServer: true })
server.on('upgrade', async (req, socket, head) => {
  const claims = await verify(req.headers.authorization).catch(() => null)
  if (!claims || req.url !== '/pond/echo') return socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
  sockets.handleUpgrade(req, socket, head, (ws) => ws.on('message', (text) => ws.send(`${claims.sub} said ${text}`)))
})
