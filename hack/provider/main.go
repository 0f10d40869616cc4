// Command provider is a demonstration identity provider for `make run` and the end-to-end tests:
// OpenID Connect with three people who have no passwords, in memory, on loopback.
//
// It is a module of its own, so that no product depends on the provider's library.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"
)

const usage = `usage: provider --client-secret-file FILE --redirect-uri URL [flags]

A demonstration identity provider (OpenID Connect). Everybody who can reach it can
sign in as anybody, so it listens on loopback only.

Flags:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintln(os.Stderr, "provider:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing to do
	}
}

// list is a flag that may be repeated.
type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

func (l *list) Set(value string) error {
	u, err := url.Parse(value)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return errors.New("it is not a URL")
	}
	*l = append(*l, value)
	return nil
}

func run(ctx context.Context, args []string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	var c relyingParty
	var secretFile string
	flags := flag.NewFlagSet("provider", flag.ContinueOnError)
	flags.Usage = func() {
		_, _ = fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	listen := flags.String("listen", "127.0.0.1:8082", "address to listen on")
	flags.StringVar(&c.id, "client-id", "lilypad", "ID of the only client")
	flags.StringVar(&secretFile, "client-secret-file", "", "file with the client's secret")
	flags.Var((*list)(&c.redirectURIs), "redirect-uri", "redirect URI of the client; may be repeated")
	flags.Var((*list)(&c.logoutURIs), "post-logout-redirect-uri", "where the client may send people after signing out; may be repeated")
	flags.StringVar(&c.backChannel, "backchannel-logout-uri", "", "where logout tokens are posted to")
	flags.DurationVar(&c.tokenLife, "token-life", 5*time.Minute, "lifetime of ID tokens and access tokens")
	if err := flags.Parse(args); err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(*listen)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("--listen %s is not an address of the loopback interface, for example 127.0.0.1:8082", *listen)
	}
	if len(c.redirectURIs) == 0 || secretFile == "" {
		return errors.New("--redirect-uri and --client-secret-file are required")
	}
	secret, err := os.ReadFile(secretFile)
	if err != nil {
		return err
	}
	c.secret = strings.TrimSpace(string(secret))
	handler, err := newHandler("http://"+*listen, &c, log)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	log.InfoContext(ctx, "listening", "issuer", "http://"+*listen)
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// newHandler returns the provider and its pages.
func newHandler(issuer string, c *relyingParty, log *slog.Logger) (http.Handler, error) {
	s, err := newStorage(c)
	if err != nil {
		return nil, err
	}
	config := &op.Config{
		CodeMethodS256: true, AuthMethodPost: true, GrantTypeRefreshToken: true, DefaultLogoutRedirectURI: "/",
		SupportedScopes: []string{"openid", "profile", "email", "offline_access"}, BackChannelLogoutSupported: true, BackChannelLogoutSessionSupported: true,
	}
	if _, err := rand.Read(config.CryptoKey[:]); err != nil {
		return nil, err
	}
	provider, err := op.NewProvider(config, s, op.StaticIssuer(issuer), op.WithAllowInsecure())
	if err != nil {
		return nil, err
	}
	page, err := template.New("page").Parse(source)
	if err != nil {
		return nil, err
	}
	p := &pages{issuer: issuer, storage: s, provider: provider, page: page, log: log, client: &http.Client{Timeout: 10 * time.Second}}
	// The provider's library signs people out only where CrossOriginProtection would not
	// look: a client posts to its endpoints from elsewhere.
	own := http.NewServeMux()
	own.HandleFunc("GET /{$}", p.home)
	own.HandleFunc("GET /login", p.login)
	own.HandleFunc("POST /login", p.signIn)
	own.HandleFunc("POST /users/{name}", p.change)
	protected := http.NewCrossOriginProtection().Handler(own)
	mux := http.NewServeMux()
	mux.Handle("/{$}", protected)
	mux.Handle("/login", protected)
	mux.Handle("/users/", protected)
	mux.Handle("/", provider)
	return mux, nil
}
