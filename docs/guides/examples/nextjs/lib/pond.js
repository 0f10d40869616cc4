import { EventEmitter, once } from 'node:events'

// What was croaked, in this process; a real app has a database here. Pages and route handlers are bundled apart and so
// meet by way of globalThis.
const pond = (globalThis.pond ??= Object.assign(new EventEmitter().setMaxListeners(0), { croaks: [] }))

export const croaks = () => pond.croaks

export function croak(name, text) {
  const said = { name, text: String(text).slice(0, 200) }
  pond.croaks = [said, ...pond.croaks].slice(0, 20)
  pond.emit('croak', said)
}

export const nextCroak = async () => (await once(pond, 'croak'))[0]
