package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/offbake/offbake/bundle/sign"
)

func (a *app) keygenCmd() *cobra.Command {
	var dir string
	var noPassword bool
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a key pair that signs bundles",
		Long: `Writes offbake.key (secret, mode 0600) and offbake.pub, in minisign's format. The secret key is encrypted with
the password in OFFBAKE_KEY_PASSWORD or asked for on the terminal, unless --no-password is given. Nothing is
overwritten.` + "\n" + exitStatus,
		Example: "  offbake keygen -o keys",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			password, err := a.newPassword(cmd.Context(), noPassword)
			if err != nil {
				return err
			}
			pub, err := sign.WriteKeyPair(dir, password)
			if err != nil {
				return err
			}
			r := keygenResult{Schema: "offbake/keygen/1", KeyID: pub.ID(), Key: filepath.Join(dir, "offbake.key"),
				Pub: filepath.Join(dir, "offbake.pub")}
			return a.result(r, r.KeyID+"  "+r.Pub)
		},
	}
	cmd.Flags().StringVarP(&dir, "output", "o", ".", "write the two files into `DIR`")
	cmd.Flags().BoolVar(&noPassword, "no-password", false, "do not encrypt the secret key")
	return cmd
}

type keygenResult struct {
	Schema string `json:"schema"`
	KeyID  string `json:"keyid"`
	Key    string `json:"key"`
	Pub    string `json:"pub"`
}

// newPassword asks twice where it asks a person.
func (a *app) newPassword(ctx context.Context, none bool) (string, error) {
	if none {
		return "", nil
	}
	first, err := a.password(ctx, "new password: ")
	if err != nil || a.getenv("OFFBAKE_KEY_PASSWORD") != "" {
		return first, err
	}
	if first == "" {
		return "", &usageError{errors.New("an empty password protects nothing")}
	}
	second, err := a.password(ctx, "again: ")
	if err == nil && second != first {
		err = &usageError{errors.New("the two passwords differ")}
	}
	return first, err
}
