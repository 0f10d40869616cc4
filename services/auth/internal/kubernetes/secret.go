// Package kubernetes stores the service's keys in a Secret through the Kubernetes API. TokenReview
// is in package clientauth.
package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"lilypad.example/services/auth/internal/rollover"
)

// Secret is a rollover.Store in one Kubernetes Secret. It needs the verbs get and patch on that
// Secret only.
type Secret struct {
	client          rest.Interface
	namespace, name string
}

// NewSecret returns the Secret namespace/name. It does not connect, and the Secret need not exist
// yet.
func NewSecret(config *rest.Config, namespace, name string) (*Secret, error) {
	// This scheme knows only metav1.Status: the types of core/v1 would add 4 MB to the binary.
	scheme, core := runtime.NewScheme(), schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(scheme, core)
	c := rest.CopyConfig(config)
	c.APIPath, c.GroupVersion = "/api", &core
	c.ContentType, c.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	return &Secret{client, namespace, name}, nil
}

// Read implements rollover.Store. Without a resourceVersion the API server returns the latest
// state, not a cached one.
func (s *Secret) Read(ctx context.Context) (rollover.Secret, error) {
	answer := s.client.Get().Namespace(s.namespace).Resource("secrets").Name(s.name).Do(ctx)
	if err := answer.Error(); err != nil {
		return rollover.Secret{}, s.failure(err)
	}
	text, err := answer.Raw()
	if err != nil {
		return rollover.Secret{}, s.failure(err)
	}
	var held struct {
		Metadata struct{ ResourceVersion string }
		Data     map[string][]byte
	}
	if err := json.Unmarshal(text, &held); err != nil {
		return rollover.Secret{}, s.failure(err)
	}
	return rollover.Secret{Data: held.Data, Version: held.Metadata.ResourceVersion}, nil
}

// Write implements rollover.Store. It patches only the entries in Data, so that others may manage
// labels and annotations. Because of the resourceVersion in the patch, the API server refuses it
// with a conflict if the Secret has changed since it was read.
func (s *Secret) Write(ctx context.Context, want rollover.Secret) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]string{"resourceVersion": want.Version}, "data": want.Data})
	if err != nil {
		return fmt.Errorf("encode secret: %w", err)
	}
	err = s.client.Patch(types.MergePatchType).Namespace(s.namespace).Resource("secrets").Name(s.name).Body(patch).Do(ctx).Error()
	return s.failure(err)
}

func (s *Secret) failure(err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsConflict(err):
		return fmt.Errorf("%w: %w", rollover.ErrConflict, err)
	}
	return fmt.Errorf("secret %s/%s: %w", s.namespace, s.name, err)
}
