import { session } from '../../../lib/session.js'

export async function GET() {
  const claims = await session()
  return claims ? Response.json({ sub: claims.sub, roles: claims.roles }) : Response.json({}, { status: 401 })
}
