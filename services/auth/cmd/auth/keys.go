package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"lilypad.example/services/auth/internal/app"
	"lilypad.example/services/auth/internal/rollover"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signer"
	"lilypad.example/services/pkg/config"
)

type keysCmd struct {
	Generate keysGenerate `cmd:"" help:"Write signing.pem and ring.keys to a directory. Existing files are kept."`
	Show     keysShow     `cmd:"" help:"List the signing keys in the Secret."`
	Rotate   keysRotate   `cmd:"" help:"Publish the next signing key now. It signs once every verifier has fetched it."`
	Revoke   keysRevoke   `cmd:"" help:"Remove a signing key from the Secret now. All access tokens signed with it become invalid."`
}

type keysGenerate struct {
	Dir string `required:"" type:"path" placeholder:"DIR" env:"-" help:"Directory; created if missing."`
}

// Run never overwrites a file: replacing the keys would log everybody out.
func (k *keysGenerate) Run(p config.Program) error {
	signing, err := signer.Generate()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return fmt.Errorf("generate keys: %w", err)
	}
	for _, key := range []struct {
		name    string
		content []byte
	}{{"signing.pem", signing}, {"ring.keys", []byte(session.NewRingLine())}} {
		path := filepath.Join(k.Dir, key.name)
		said := path
		switch err := writeNew(path, key.content); {
		case errors.Is(err, fs.ErrExist):
			said += " exists, kept"
		case err != nil:
			return fmt.Errorf("generate keys: %w", err)
		}
		if _, err := fmt.Fprintln(p.Stdout, said); err != nil {
			return err
		}
	}
	return nil
}

// writeNew creates a file. It fails with fs.ErrExist if the file exists, and leaves no partial file
// behind.
func writeNew(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path)) // the next run would keep a partial key
	}
	return nil
}

// keysSecret holds the settings of the commands that show or edit the Secret.
type keysSecret struct{ app.KeysSecret }

// Check checks the name of the Secret.
func (k *keysSecret) Check() error {
	if k.KeysSecret.KeysSecret == "" {
		return errors.New("LILYPAD_KEYS_SECRET is required")
	}
	return k.KeysSecret.Check()
}

type keysShow struct{ keysSecret }

// Run prints key IDs and times, but no keys.
func (k *keysShow) Run(ctx context.Context, p config.Program) error {
	store, err := k.Open()
	if err != nil {
		return err
	}
	held, err := store.Read(ctx)
	if err != nil {
		return err
	}
	keys, err := rollover.Parse(held.Data[rollover.SigningEntry])
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "KID\tSTATE\tPUBLISHED\tSIGNING\tSUPERSEDED")
	for i, key := range keys {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", key.ID, key.State(i == 0), noted(key.Published), noted(key.Signing), noted(key.Superseded))
	}
	return table.Flush()
}

func noted(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return when(t)
}

type keysRotate struct{ keysSecret }

// Run adds the next key to the Secret. The running replicas publish it and, when it is due, sign
// with it.
func (k *keysRotate) Run(ctx context.Context, p config.Program) error {
	return editKeys(ctx, p, k.KeysSecret, func(keys []rollover.Key) ([]rollover.Key, []rollover.Change, error) {
		return rollover.Rotate(keys, time.Now(), rollover.Generate)
	})
}

type keysRevoke struct {
	keysSecret

	KID string `arg:"" name:"kid" help:"Key ID, as listed by keys show."`
}

// Run removes the key from the Secret. The running replicas notice within seconds.
func (k *keysRevoke) Run(ctx context.Context, p config.Program) error {
	return editKeys(ctx, p, k.KeysSecret, func(keys []rollover.Key) ([]rollover.Key, []rollover.Change, error) {
		return rollover.Revoke(keys, k.KID, time.Now(), rollover.Generate)
	})
}

func editKeys(ctx context.Context, p config.Program, secret app.KeysSecret, edit func([]rollover.Key) ([]rollover.Key, []rollover.Change, error)) error {
	store, err := secret.Open()
	if err != nil {
		return err
	}
	changes, err := rollover.EditKeys(ctx, store, edit)
	if err != nil {
		return err
	}
	record := trail(p)
	for _, c := range changes {
		app.RecordKeyChange(ctx, record, c)
		if _, err := fmt.Fprintf(p.Stdout, "%s %s\n", c.Event, c.ID); err != nil {
			return err
		}
	}
	return nil
}
