package http1

// ReadAhead returns a channel that is closed when the watch of the client has read something, or nil before the watch
// has begun.
func (x *Exchange) ReadAhead() <-chan struct{} {
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	return x.c.watching
}
