import { croak } from '../../../lib/pond.js'
import { user } from '../../../lib/session.js'

export async function POST(request) {
  const who = await user()
  if (!who) return new Response(null, { status: 401 })
  croak(who.name, (await request.json()).text)
  return new Response(null, { status: 204 })
}
