import { revalidatePath } from 'next/cache'
import Link from 'next/link'
import { croak, croaks } from '../lib/pond.js'
import { user } from '../lib/session.js'

async function say(form) {
  'use server'
  const who = await user() // a server action is a door of its own: it asks who comes
  if (!who) throw new Error('sign in to croak')
  croak(who.name, form.get('text'))
  revalidatePath('/')
}

export default async function Home() {
  const who = await user()
  return (
    <>
      <h1>{who ? `Hello, ${who.name}` : 'Hello, stranger'}</h1>
      {who ? (
        <form action={say}>
          <input name="text" required maxLength={200} aria-label="What to croak" /> <button>Croak</button>
        </form>
      ) : (
        <p><Link href="/login">Sign in</Link> to croak.</p>
      )}
      <ul>{croaks().map((c, i) => <li key={i}>{c.name}: {c.text}</li>)}</ul>
    </>
  )
}
