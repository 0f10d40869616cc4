package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// browser is a Chromium with a new profile. Its methods fail the test if the page is not as
// expected after a minute.
type browser struct {
	t   *testing.T
	w   *World
	ctx context.Context // chromedp's handle of the tab
}

func newBrowser(t *testing.T, w *World) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.UserDataDir(t.TempDir()), chromedp.DisableGPU, chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-component-update", true),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's sandbox refuses to be root
	}
	// Not the test's context, which ends before the cleanups: the browser must shut down in order.
	allocated, release := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	tab, closeTab := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		_ = chromedp.Cancel(tab) // waits until the process has ended, so that its profile can be removed
		closeTab()
		release()
	})
	if err := chromedp.Do(tab); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return &browser{t: t, w: w, ctx: tab}
}

// run performs an action, for at most a minute.
func run[T any](b *browser, what string, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	out, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("%s: %v\nat %s", what, err, b.where())
	}
	return out
}

// call sends a command of the DevTools protocol.
func call[P, R any](b *browser, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	out, err := chromedp.Call(ctx, command, params)
	if err != nil {
		b.t.Fatalf("%s: %v", command.Method, err)
	}
	return out
}

// eval returns the result of a script in the page.
func (b *browser) eval(script string) string {
	b.t.Helper()
	return run(b, "evaluate "+script, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
}

// where returns URL and text of the page, for failure messages.
func (b *browser) where() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	at, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + (document.body ? document.body.innerText : "")`))
	if err != nil {
		return err.Error()
	}
	return shorten(at)
}

// open navigates to a URL.
func (b *browser) open(url string) {
	b.t.Helper()
	run(b, "open "+url, chromedp.Navigate(url))
}

// visit opens a path of the product.
func (b *browser) visit(path string) {
	b.t.Helper()
	b.open(b.w.BaseURL + path)
}

// fill types into empty fields of a form, by their names.
func (b *browser) fill(fields map[string]string) {
	b.t.Helper()
	for name, value := range fields {
		run(b, "fill "+name, chromedp.SendKeys(chromedp.CSS(`main input[name="`+name+`"]`), value))
	}
}

// press clicks an element, found by CSS or XPath, that loads another page, and waits for that page.
func (b *browser) press(selector string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(selector)); err != nil {
		b.t.Fatalf("press %s: %v\nat %s", selector, err, b.where())
	}
}

func (b *browser) path() string {
	b.t.Helper()
	return b.eval(`location.pathname`)
}

// want checks that the page shows a text.
func (b *browser) want(text string) {
	b.t.Helper()
	if !strings.Contains(b.eval(`document.body.innerText`), text) {
		b.t.Fatalf("the page lacks %q, at %s", text, b.where())
	}
}

// has reports whether the page has an element.
func (b *browser) has(selector string) bool {
	b.t.Helper()
	return b.count(selector) > 0
}

// count returns the number of matching elements.
func (b *browser) count(selector string) int {
	b.t.Helper()
	quoted, err := json.Marshal(selector)
	if err != nil {
		b.t.Fatal(err)
	}
	return run(b, "count "+selector, chromedp.Evaluate[int](`document.querySelectorAll(`+string(quoted)+`).length`))
}

// cookie returns the value of the session cookie, which scripts cannot read. There must be no other
// cookie.
func (b *browser) cookie() string {
	b.t.Helper()
	jar := b.jar()
	for name := range jar {
		if name != cookieName && (name != knownName || jar[cookieName] != "") {
			b.t.Errorf("cookie %s, want only the session cookie", name)
		}
	}
	return jar[cookieName]
}

// jar returns all cookies, values by name.
func (b *browser) jar() map[string]string {
	b.t.Helper()
	jar := make(map[string]string)
	for _, c := range call(b, network.GetCookies, network.GetCookiesParams{}).Cookies {
		jar[c.Name] = c.Value
	}
	return jar
}

// wantNoToken checks that neither the page nor anything that scripts can read contains a token.
func (b *browser) wantNoToken() {
	b.t.Helper()
	seen := b.eval(`JSON.stringify([document.documentElement.outerHTML, document.cookie, {...localStorage}, {...sessionStorage}, location.href, window.name])`)
	wantNoToken(b.t, b.path(), seen, b.cookie())
	if c := b.eval(`document.cookie`); c != "" {
		b.t.Errorf("a script can read the cookie %s", c)
	}
}

// scripts enables or disables JavaScript from the next page on.
func (b *browser) scripts(on bool) {
	b.t.Helper()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
}

// screen is the size of a viewport.
type screen struct {
	name    string
	metrics emulation.SetDeviceMetricsOverrideParams
}

func screens() []screen {
	return []screen{
		{"desktop", emulation.SetDeviceMetricsOverrideParams{Width: 1280, Height: 900, DeviceScaleFactor: 1}},
		{"phone", emulation.SetDeviceMetricsOverrideParams{Width: 390, Height: 844, DeviceScaleFactor: 2, Mobile: true}},
	}
}

// picture takes a screenshot for each screen, if a folder for them is set, and checks that the page
// does not scroll horizontally.
func (b *browser) picture(name string) {
	b.t.Helper()
	for _, s := range screens() {
		call(b, emulation.SetDeviceMetricsOverride, s.metrics)
		if b.eval(`String(document.documentElement.scrollWidth > document.documentElement.clientWidth)`) == "true" {
			b.t.Errorf("%s scrolls horizontally on a %s", name, s.name)
		}
		if b.w.Screenshots != "" {
			png := run(b, "take a picture", chromedp.FullScreenshot(100))
			if err := os.WriteFile(filepath.Join(b.w.Screenshots, name+"-"+s.name+".png"), png, 0o600); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	call(b, emulation.ClearDeviceMetricsOverride, cdp.Empty{})
}
