const $ = (selector) => document.querySelector(selector)
let socket

// api is fetch for JSON. A 401 says that nobody is signed in (any more): that is the whole of session handling here.
async function api(path, options) {
  const answer = await fetch(path, options)
  if (answer.status === 401) stranger()
  if (!answer.ok) throw new Error((await answer.json()).detail)
  return answer.status === 204 ? null : answer.json()
}

const post = (path, body = {}) =>
  api(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })

function stranger() {
  socket?.close()
  socket = null
  $('#login').hidden = false
  $('#pond').hidden = true
}

function welcome({ user }) {
  $('#pond h1').textContent = `Hello, ${user.name}`
  $('#login').hidden = true
  $('#pond').hidden = false
  listen()
}

// listen shows what happens in other tabs. The socket ends with its session, or with the network: who is here now?
function listen() {
  socket?.close()
  const mine = (socket = new WebSocket('/api/live'))
  mine.onopen = async () => ($('#pond output').value = (await api('/api/pets')).pets) // nothing is missed from here on
  mine.onmessage = ({ data }) => ($('#pond output').value = data)
  mine.onclose = () => mine === socket && setTimeout(() => start().catch(() => mine.onclose()), 500)
}

const start = async () => welcome(await api('/auth/session'))

$('#login').onsubmit = async (event) => {
  event.preventDefault()
  const { email, password } = Object.fromEntries(new FormData(event.target))
  try {
    welcome(await post('/auth/login', { email, password }))
    event.target.reset()
    $('#login p').textContent = ''
  } catch (err) {
    $('#login p').textContent = err.message
  }
}
$('#pet').onclick = async () => ($('#pond output').value = (await post('/api/pets')).pets)
$('#logout').onclick = async () => {
  await post('/auth/logout')
  stranger()
}
start().catch(() => {})
