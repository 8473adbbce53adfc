package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

var apiVersions = map[string]bool{
	"7.0": true, "7.1": true, "7.2": true, "7.3": true, "7.4": true, "7.5": true, "7.6": true, "2025-07-01": true,
}

var nameForm = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)

// call is a request and where its answer goes.
type call struct {
	w http.ResponseWriter
	r *http.Request
}

func (c *call) name() string    { return c.r.PathValue("name") }
func (c *call) version() string { return c.r.PathValue("version") }

// key is what the name is kept under; false after a refusal.
func (c *call) key() (string, bool) {
	if !nameForm.MatchString(c.name()) {
		c.refuse(400, "BadParameter", "", "The request URI contains an invalid name: "+c.name())
		return "", false
	}
	return strings.ToLower(c.name()), true
}

// read fills one of Microsoft's models from the body, and refuses what the model has no place for: what Azure would overlook and the
// sender believes in. False after a refusal.
func (c *call) read(model any) bool {
	body, err := io.ReadAll(c.r.Body)
	if err != nil {
		return false
	}
	var sent, understood any
	if err := json.Unmarshal(body, &sent); err != nil {
		c.refuse(400, "BadParameter", "", "the body is no JSON: "+err.Error())
		return false
	}
	if err := json.Unmarshal(body, model); err != nil {
		c.refuse(400, "BadParameter", "", "the body does not fit the model: "+err.Error())
		return false
	}
	again, err := json.Marshal(model)
	if err == nil {
		err = json.Unmarshal(again, &understood)
	}
	if err != nil {
		c.refuse(500, "InternalServerError", "", err.Error())
		return false
	}
	if lost := lost("", sent, understood); lost != "" {
		c.refuse(400, "BadParameter", "", "the model has no place for "+lost)
		return false
	}
	return true
}

// lost is the path of the first part of what was sent that was not understood, or nothing.
func lost(path string, sent, understood any) string {
	switch sent := sent.(type) {
	case map[string]any:
		fields, _ := understood.(map[string]any)
		for name, value := range sent {
			if found := lost(path+"/"+name, value, fields[name]); found != "" {
				return found
			}
		}
	case []any:
		list, _ := understood.([]any)
		if len(list) != len(sent) {
			return path
		}
		for i := range sent {
			if found := lost(fmt.Sprintf("%s/%d", path, i), sent[i], list[i]); found != "" {
				return found
			}
		}
	default:
		if !reflect.DeepEqual(sent, understood) {
			return path
		}
	}
	return ""
}

func (c *call) answer(status int, model any) {
	body, err := json.Marshal(model)
	if err != nil {
		status, body = 500, []byte(`{"error":{"code":"InternalServerError","message":"cannot be written"}}`)
	}
	c.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body)
}

func (c *call) refuse(status int, code, inner, message string) {
	said := map[string]any{"code": code, "message": message}
	if inner != "" {
		said["innererror"] = map[string]any{"code": inner}
	}
	c.answer(status, map[string]any{"error": said})
}

// taken is the refusal of a name that was deleted and not purged.
func (c *call) taken(kind string) {
	message := fmt.Sprintf("%s %s is currently in a deleted but recoverable state, and its name cannot be reused; in this state, "+
		"the %s can only be recovered or purged.", kind, c.name(), strings.ToLower(kind))
	c.refuse(409, "Conflict", "ObjectIsDeletedButRecoverable", message)
}

func (c *call) missing(kind string) {
	message := fmt.Sprintf("A %s with (name/id) %s was not found in this key vault.", strings.ToLower(kind), c.name())
	c.refuse(404, kind+"NotFound", "", message)
}

// tagged refuses more tags, and longer ones, than a version takes.
func (c *call) tagged(tags map[string]*string) bool {
	fits := len(tags) <= 15
	for name, value := range tags {
		fits = fits && len(name) <= 512 && value != nil && len(*value) <= 512
	}
	if !fits {
		c.refuse(400, "BadParameter", "", "at most 15 tags of 512 characters each")
	}
	return fits
}

// page answers a part of a list, which is ordered by version id and not by time, with a link to the next one.
func page[T any](v *vault, c *call, entries map[string]T) {
	ids := make([]string, 0, len(entries))
	for id := range entries {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	query := c.r.URL.Query()
	size := 25
	if given := query.Get("maxresults"); given != "" {
		number, err := strconv.Atoi(given)
		if err != nil || number < 1 || number > 25 {
			c.refuse(400, "BadParameter", "", "maxresults is between 1 and 25")
			return
		}
		size = number
	}
	start := sort.SearchStrings(ids, query.Get("$skiptoken"))
	end := min(start+size, len(ids))
	value := make([]T, 0, size)
	for _, id := range ids[start:end] {
		value = append(value, entries[id])
	}
	answer := map[string]any{"value": value, "nextLink": nil}
	if end < len(ids) {
		query.Set("$skiptoken", ids[end])
		answer["nextLink"] = v.origin + c.r.URL.Path + "?" + query.Encode()
	}
	c.answer(200, answer)
}

func at[T any](value T) *T { return &value }
