import { user } from '../../lib/session.js'

// Only who is signed in gets here: routes.yaml says so.
export default async function Account() {
  const { name, email, roles } = await user()
  return (
    <>
      <h1>Account</h1>
      <dl>
        <dt>Name</dt><dd>{name}</dd>
        <dt>E-mail</dt><dd>{email}</dd>
        <dt>Roles</dt><dd>{roles.join(', ') || 'none'}</dd>
      </dl>
    </>
  )
}
