const messages = { invalid_credentials: 'This is not the right e-mail address or password.' }

// An ordinary form that posts to the sidecar. On a mistake it comes back here with `error` and what was entered.
export default async function Login({ searchParams }) {
  const { error, email, next } = await searchParams
  return (
    <>
      <h1>Sign in</h1>
      {error && <p role="alert">{messages[error] ?? 'That did not work. Please try again shortly.'}</p>}
      <form method="post" action="/auth/login">
        {next && <input type="hidden" name="next" value={next} />}
        <label>E-mail <input type="email" name="email" defaultValue={email} required autoComplete="username" /></label>
        <label>Password <input type="password" name="password" required autoComplete="current-password" /></label>
        <button>Sign in</button>
      </form>
    </>
  )
}
