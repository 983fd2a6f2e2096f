package embedded

import "net/http"

func (s *Store) page(w http.ResponseWriter, r *http.Request) error { return nil }
