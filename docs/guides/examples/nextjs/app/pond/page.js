import { Suspense } from 'react'
import { nextCroak } from '../../lib/pond.js'
import { session } from '../../lib/session.js'

async function Next() {
  const { name, text } = await nextCroak()
  return <p>{name} croaked: {text}</p>
}

// The page is there at once; what is croaked next is streamed into it, whenever that is.
export default async function Pond() {
  await session()
  return (
    <>
      <h1>Listen</h1>
      <Suspense fallback={<p>All is quiet…</p>}><Next /></Suspense>
    </>
  )
}
