const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

// A text or null becomes text in the page, whatever it holds; what html itself made stays as it is.
const show = (v) => (Array.isArray(v) ? v.map(show).join('') : v?.html ?? String(v ?? '').replace(/[&<>"']/g, (c) => entities[c]))
const html = (parts, ...values) => ({ html: String.raw({ raw: parts }, ...values.map(show)) })

const page = (who, main) => html`<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>The pond</title>
<link rel="stylesheet" href="/public/style.css">
<header><a href="/">The pond</a> <a href="/pond">Notes</a>
${who && html`<form method="post" action="/auth/logout"><button>Sign out</button></form>`}</header>
<main>${main}</main>
</html>`.html

export const home = (who) => page(who, who ? html`<h1>Hello, ${who.name}</h1>` : html`<h1>Hello, stranger</h1><p><a href="/login">Sign in</a></p>`)

export const pond = (who, notes) => page(who, html`<h1>Notes</h1>
<form method="post" action="/pond/notes"><input name="text" required maxlength="200" aria-label="A note"> <button>Note</button></form>
<ul>${notes.map((n) => html`<li>${n.name}: ${n.text}</li>`)}</ul>`)

const messages = { invalid_credentials: 'This is not the right e-mail address or password.' }

// An ordinary form that posts to the sidecar. On a mistake it comes back here with `error` and what was entered.
export const login = ({ error, email, next }) => page(null, html`<h1>Sign in</h1>
${error && html`<p role="alert">${messages[error] ?? 'That did not work. Please try again shortly.'}</p>`}
<form method="post" action="/auth/login">
<input type="hidden" name="next" value="${next}">
<label>E-mail <input type="email" name="email" value="${email}" required autocomplete="username"></label>
<label>Password <input type="password" name="password" required autocomplete="current-password"></label>
<button>Sign in</button>
</form>`)
