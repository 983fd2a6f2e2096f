package embedded

import (
	"bytes"
	"encoding/json"
	"strings"
)

// parseQuery reads a query of the JSON query language: match_all, match_none, query_string,
// simple_query_string, match, match_phrase, term, terms, ids, exists, prefix, wildcard,
// range, bool, constant_score.
func parseQuery(raw json.RawMessage, depth int) (query, error) {
	if depth > maxQueryDepth {
		return nil, badQuery("query is nested too deeply")
	}
	var one map[string]json.RawMessage
	if err := json.Unmarshal(raw, &one); err != nil || len(one) != 1 {
		return nil, badQuery("[query] malformed query, expected an object with one name in it, found [%s]", start(raw))
	}
	for kind, body := range one {
		q, err := parseKind(kind, body, depth)
		if err != nil {
			return nil, err
		}
		return q, nil
	}
	panic("unreachable")
}

func parseKind(kind string, body json.RawMessage, depth int) (query, error) {
	switch kind {
	case "match_all":
		return allQuery{}, nil
	case "match_none":
		return noneQuery{}, nil
	case "query_string", "simple_query_string":
		return parseQueryStringBody(kind, body)
	case "bool":
		return parseBool(body, depth)
	case "constant_score":
		var c struct{ Filter json.RawMessage }
		if err := json.Unmarshal(body, &c); err != nil || c.Filter == nil {
			return nil, badQuery("[constant_score] requires a 'filter' element")
		}
		return parseQuery(c.Filter, depth+1)
	case "ids":
		var c struct{ Values []string }
		if err := json.Unmarshal(body, &c); err != nil {
			return nil, badQuery("[ids] %v", err)
		}
		return idQuery(c.Values), nil
	case "exists":
		var c struct{ Field string }
		if err := json.Unmarshal(body, &c); err != nil || c.Field == "" {
			return nil, badQuery("[exists] must be provided with a [field]")
		}
		return exists(c.Field), nil
	case "term", "match", "match_phrase", "prefix", "wildcard", "terms", "range":
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(body, &fields); err != nil {
			return nil, badQuery("[%s] expected an object: %v", kind, err)
		}
		delete(fields, "boost")
		if len(fields) != 1 {
			return nil, badQuery("[%s] query needs one field, found [%d]", kind, len(fields))
		}
		for field, v := range fields {
			return parseFieldQuery(kind, field, v)
		}
	}
	return nil, badQuery("unknown query [%s]", kind)
}

func parseFieldQuery(kind, field string, body json.RawMessage) (query, error) {
	switch kind {
	case "terms":
		var values []json.RawMessage
		if err := json.Unmarshal(body, &values); err != nil {
			return nil, badQuery("[terms] query needs an array: %v", err)
		}
		var or orQuery
		for _, v := range values {
			q, err := parseFieldQuery("term", field, v)
			if err != nil {
				return nil, err
			}
			or = append(or, q)
		}
		if len(or) == 0 {
			return noneQuery{}, nil
		}
		return or, nil
	case "range":
		return parseRange(field, body)
	}
	v, operator, err := fieldValue(kind, body)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "prefix":
		return like(field, escape(v)+"*")
	case "wildcard":
		return like(field, v)
	case "match":
		if field == messageField {
			w := terms(v)
			if len(w) == 0 {
				return noneQuery{}, nil
			}
			var parts []query
			for _, t := range w {
				parts = append(parts, termQuery{messageField, t})
			}
			if strings.EqualFold(operator, "and") {
				return andQuery(parts), nil
			}
			return orQuery(parts), nil
		}
	}
	return is(field, v)
}

// fieldValue reads "value" or {"value": "value"}, the latter under the names that the kinds
// of queries have for it.
func fieldValue(kind string, body json.RawMessage) (value, operator string, err error) {
	if body = bytes.TrimSpace(body); len(body) > 0 && body[0] == '{' {
		var o struct {
			Value, Query, Wildcard json.RawMessage
			Operator               string
		}
		if err := json.Unmarshal(body, &o); err != nil {
			return "", "", badQuery("[%s] %v", kind, err)
		}
		operator = o.Operator
		for _, v := range []json.RawMessage{o.Value, o.Query, o.Wildcard} {
			if v != nil {
				body = v
			}
		}
	}
	value, err = scalar(body)
	if err != nil {
		return "", "", badQuery("[%s] %v", kind, err)
	}
	return value, operator, nil
}

// scalar is a JSON string, number or boolean as text.
func scalar(body json.RawMessage) (string, error) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || strings.IndexByte("{[n", body[0]) >= 0 {
		return "", badQuery("expected a value, found [%s]", start(body))
	}
	if body[0] != '"' {
		return string(body), nil
	}
	var s string
	err := json.Unmarshal(body, &s)
	return s, err
}

func parseRange(field string, body json.RawMessage) (query, error) {
	var o map[string]json.RawMessage
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, badQuery("[range] %v", err)
	}
	var b bounds
	for k, v := range o {
		s := ""
		if string(v) != "null" {
			var err error
			if s, err = scalar(v); err != nil {
				return nil, badQuery("[range] [%s] %v", k, err)
			}
		}
		switch k {
		case "gt":
			b.gt = s
		case "gte", "from":
			b.gte = s
		case "lt":
			b.lt = s
		case "lte", "to":
			b.lte = s
		case "format", "boost", "relation", "time_zone":
		default:
			return nil, badQuery("[range] query does not support [%s]", k)
		}
	}
	return between(field, b)
}

func parseQueryStringBody(kind string, body json.RawMessage) (query, error) {
	var c struct {
		Query    *string
		Operator string `json:"default_operator"`
		Field    string `json:"default_field"`
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, badQuery("[%s] %v", kind, err)
	}
	if c.Query == nil {
		return nil, badQuery("[%s] must be provided with a [query]", kind)
	}
	if strings.Trim(c.Field, "*") != "" {
		return nil, badQuery("[%s] default_field [%s] is not supported", kind, c.Field)
	}
	return parseQueryString(*c.Query, strings.EqualFold(c.Operator, "and"))
}

func parseBool(body json.RawMessage, depth int) (query, error) {
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(body, &parts); err != nil {
		return nil, badQuery("[bool] %v", err)
	}
	var and andQuery
	var should orQuery
	minimum := ""
	for k, v := range parts {
		if k == "minimum_should_match" {
			minimum = strings.Trim(string(v), `"`)
			continue
		}
		if k == "boost" || k == "adjust_pure_negative" {
			continue
		}
		qs, err := parseQueries(v, depth)
		if err != nil {
			return nil, err
		}
		switch k {
		case "must", "filter":
			and = append(and, qs...)
		case "should":
			should = append(should, qs...)
		case "must_not":
			for _, q := range qs {
				and = append(and, notQuery{q})
			}
		default:
			return nil, badQuery("[bool] query does not support [%s]", k)
		}
	}
	_, must := parts["must"]
	_, filter := parts["filter"]
	switch {
	case minimum != "" && minimum != "0" && minimum != "1":
		return nil, badQuery("[bool] minimum_should_match [%s] is not supported", minimum)
	case len(should) > 0 && (minimum == "1" || minimum == "" && !must && !filter):
		and = append(and, should)
	}
	if len(and) == 0 {
		return allQuery{}, nil
	}
	return and, nil
}

// parseQueries reads one query or an array of them.
func parseQueries(raw json.RawMessage, depth int) ([]query, error) {
	list := []json.RawMessage{raw}
	if b := bytes.TrimSpace(raw); len(b) > 0 && b[0] == '[' {
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, badQuery("[bool] %v", err)
		}
	}
	var qs []query
	for _, r := range list {
		q, err := parseQuery(r, depth+1)
		if err != nil {
			return nil, err
		}
		qs = append(qs, q)
	}
	return qs, nil
}
