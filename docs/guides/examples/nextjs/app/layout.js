import Link from 'next/link'
import { user } from '../lib/session.js'
import './style.css'

export const metadata = { title: 'The pond' }

export default async function Layout({ children }) {
  const who = await user()
  return (
    <html lang="en">
      <body>
        <header>
          <Link href="/">The pond</Link> <Link href="/pond">Listen</Link> <Link href="/account">Account</Link>
          {who && (
            <form method="post" action="/auth/logout">
              <button>Sign out</button>
            </form>
          )}
        </header>
        <main>{children}</main>
      </body>
    </html>
  )
}
