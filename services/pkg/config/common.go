package config

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"time"

	"lilypad.example/services/pkg/log"
)

// Common holds the settings that every server has. Embed it in a command.
type Common struct {
	OpsListen string        `default:":9090" help:"Address for health checks and metrics: /livez, /readyz, /metrics."`
	LogLevel  string        `default:"info" enum:"debug,info,warn,error" help:"Minimum log level: ${enum}."`
	LogFormat string        `default:"json" enum:"json,text" help:"Log format: ${enum}."`
	Drain     time.Duration `default:"15s" help:"Grace period for in-flight requests after SIGTERM."`
}

// Logger returns a logger with the configured level and format that writes to w.
func (c Common) Logger(w io.Writer) (*slog.Logger, error) { return log.New(w, c.LogLevel, c.LogFormat) }

// CheckURL returns an error that names the setting unless value is an absolute http or https URL
// without user, query and fragment.
func CheckURL(setting, value string) error {
	if value == "" {
		return fmt.Errorf("%s is required", setting)
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%s: %q is not an http or https URL such as http://auth:8080", setting, value)
	}
	return nil
}

// CheckPositive returns an error that names the setting unless d is positive.
func CheckPositive(setting string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("%s: %s is not above zero", setting, d)
	}
	return nil
}

// CheckListen returns an error that names the setting unless address is host:port or :port with a
// valid port.
func CheckListen(setting, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = new(net.Resolver).LookupPort(context.Background(), "tcp", port) // without a DNS query
	}
	if err != nil {
		return fmt.Errorf("%s: %q is not an address such as :8080 or 127.0.0.1:8080", setting, address)
	}
	return nil
}

// CheckStore returns an error unless url, the setting of a store's address, fits the kind of store:
// external requires a URL, embedded keeps everything in this process and allows none.
func CheckStore(store, setting string, url Secret) error {
	switch {
	case store == "external" && url.IsZero():
		return fmt.Errorf("%s is required with store external (or set %s_FILE to a file that holds it)", setting, setting)
	case store == "embedded" && !url.IsZero():
		return fmt.Errorf("%s is set, but store embedded uses none: remove one of them", setting)
	}
	return nil
}
