// Package kubernetes checks the manifests that docs/kubernetes.md explains, without a cluster.
package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/jsonschema-go/jsonschema"
)

// A manifest is one object of a file, as far as root and hosts must agree with each other.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		Completions, Parallelism, Replicas int
		CompletionMode, ServiceName        string
		ClusterIP                          string
		PublishNotReadyAddresses           bool
		Selector                           map[string]any
		Ports                              []struct{ Port int }
		Template                           struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				Hostname, Subdomain, RestartPolicy string
				TerminationGracePeriodSeconds      int
				Containers                         []container
			}
		}
	}
}

type container struct {
	Command []string
	Env     []struct{ Name, Value string }
	Ports   []struct{ ContainerPort int }
}

// Each object is one that the API server would take: Kubernetes' own schema says so, which refuses what it does not know.
func TestSchema(t *testing.T) {
	text, err := os.ReadFile("testdata/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var kubernetes jsonschema.Schema
	if err := json.Unmarshal(text, &kubernetes); err != nil {
		t.Fatal(err)
	}
	for name, objects := range manifests(t) {
		for _, object := range objects {
			if err := valid(t, &kubernetes, object); err != nil {
				t.Errorf("%s: %v: %v", name, object["kind"], err)
			}
		}
	}
	// What the schema is worth: each of these slips is found.
	for slip, change := range map[string]func(spec map[string]any){
		"an unknown field": func(spec map[string]any) { spec["paralelism"] = 4 },
		"a wrong type":     func(spec map[string]any) { spec["completions"] = "four" },
		"a missing field":  func(spec map[string]any) { delete(spec, "template") },
	} {
		job := manifests(t)["job.yaml"][1]
		change(job["spec"].(map[string]any))
		if valid(t, &kubernetes, job) == nil {
			t.Errorf("%s in a Job passes", slip)
		}
	}
}

// valid holds an object against the definition of its kind.
func valid(t *testing.T, kubernetes *jsonschema.Schema, object map[string]any) error {
	t.Helper()
	kind, _ := object["kind"].(string)
	if kubernetes.Defs[kind] == nil {
		return fmt.Errorf("there is no schema of kind %q", kind)
	}
	schema, err := (&jsonschema.Schema{Ref: "#/$defs/" + kind, Defs: kubernetes.Defs}).Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(object)
}

// manifests returns the objects of all files, as JSON has them.
func manifests(t *testing.T) map[string][]map[string]any {
	t.Helper()
	names, err := filepath.Glob("*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal("no manifests here:", err)
	}
	all := map[string][]map[string]any{}
	for _, name := range names {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		documents := yaml.NewDecoder(file)
		for {
			var document any
			if err := documents.Decode(&document); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			text, err := json.Marshal(document)
			if err != nil {
				t.Fatal(err)
			}
			var object map[string]any
			if err := json.Unmarshal(text, &object); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			all[name] = append(all[name], object)
		}
	}
	return all
}

// Root and hosts of a file find each other: names, ports, counts and times agree.
func TestAgreement(t *testing.T) {
	for name, objects := range manifests(t) {
		t.Run(name, func(t *testing.T) {
			var parts []manifest
			for _, object := range objects {
				text, err := json.Marshal(object)
				if err != nil {
					t.Fatal(err)
				}
				var m manifest
				if err := json.Unmarshal(text, &m); err != nil {
					t.Fatal(err)
				}
				parts = append(parts, m)
			}
			if len(parts) != 3 {
				t.Fatalf("%d objects, want a service, a root and its hosts", len(parts))
			}
			agree(t, parts[0], parts[1], parts[2])
		})
	}
}

func agree(t *testing.T, service, root, hosts manifest) {
	want(t, "the service is headless", service.Spec.ClusterIP == "None" && service.Spec.PublishNotReadyAddresses)
	for label, value := range service.Spec.Selector {
		for _, part := range []manifest{root, hosts} {
			want(t, "the service selects "+part.Metadata.Name, part.Spec.Template.Metadata.Labels[label] == value)
		}
	}
	listen := expand(root.flag("listen"), root.pod(0))
	want(t, "the root listens on its own name: "+listen, listen == root.address(service, 0))
	most := hosts.Spec.Replicas + hosts.Spec.Completions
	for i := range most {
		own := expand(hosts.flag("listen"), hosts.pod(i))
		want(t, "a host listens on its own name: "+own, own == hosts.address(service, i))
		want(t, "a host is called as its pod is", expand(hosts.flag("name"), hosts.pod(i)) == hosts.pod(i))
	}
	want(t, "the hosts join the root", expand(hosts.flag("join"), "") == listen)
	want(t, "there are as many hosts as the root takes", strings.HasSuffix(root.flag("hosts"), ":"+strconv.Itoa(most)))
	want(t, "a host has a slot for each of its ranks", hosts.flag("slots") == root.flag("per-host"))
	want(t, "all hosts run at once", hosts.Spec.Parallelism == hosts.Spec.Completions)
	for i, part := range []manifest{root, hosts} {
		for _, word := range part.Spec.Template.Spec.Containers[0].Command {
			for _, name := range variable.FindAllStringSubmatch(word, -1) {
				want(t, part.Metadata.Name+" knows its "+name[1], part.knows(name[1]))
			}
		}
		port := part.Spec.Template.Spec.Containers[0].Ports[0].ContainerPort
		want(t, "a port of "+part.Metadata.Name, service.Spec.Ports[i].Port == port && strings.HasSuffix(part.flag("listen"), ":"+strconv.Itoa(port)))
		never := part.Kind != "Job" || part.Spec.Template.Spec.RestartPolicy == "Never"
		want(t, "a Job with a podFailurePolicy restarts pods, not containers", never)
	}
	grace, err := time.ParseDuration(root.env("LAUNCH_GRACE"))
	patience := time.Duration(root.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	want(t, "the ranks' grace ends before the pod's", err == nil && grace < patience)
}

func want(t *testing.T, what string, holds bool) {
	t.Helper()
	if !holds {
		t.Error("not so:", what)
	}
}

// flag returns the value of a flag of launch.
func (m manifest) flag(name string) string {
	command := m.Spec.Template.Spec.Containers[0].Command
	i := slices.IndexFunc(command, func(word string) bool { return strings.HasPrefix(word, "--"+name+"=") })
	if i < 0 {
		return ""
	}
	return strings.TrimPrefix(command[i], "--"+name+"=")
}

func (m manifest) env(name string) string {
	for _, variable := range m.Spec.Template.Spec.Containers[0].Env {
		if variable.Name == name {
			return variable.Value
		}
	}
	return ""
}

func (m manifest) knows(name string) bool {
	return slices.ContainsFunc(m.Spec.Template.Spec.Containers[0].Env, func(v struct{ Name, Value string }) bool { return v.Name == name })
}

// pod is the host name that Kubernetes gives the pod of an index.
func (m manifest) pod(index int) string {
	if m.Spec.Template.Spec.Hostname != "" {
		return m.Spec.Template.Spec.Hostname
	}
	if m.Kind == "Job" && m.Spec.CompletionMode != "Indexed" {
		return "" // any
	}
	return fmt.Sprintf("%s-%d", m.Metadata.Name, index)
}

// address is where the pod of an index is reached under its name.
func (m manifest) address(service manifest, index int) string {
	domain := m.Spec.Template.Spec.Subdomain + m.Spec.ServiceName
	if domain != service.Metadata.Name {
		return "" // no name at all
	}
	return fmt.Sprintf("%s.%s.ns.svc.cluster.local:%d", m.pod(index), domain, m.Spec.Template.Spec.Containers[0].Ports[0].ContainerPort)
}

var variable = regexp.MustCompile(`\$\((\w+)\)`)

// expand puts in the variables of a pod, as the kubelet does.
func expand(text, pod string) string {
	index := pod[strings.LastIndexByte(pod, '-')+1:]
	return variable.ReplaceAllStringFunc(text, func(name string) string {
		return map[string]string{"$(NAMESPACE)": "ns", "$(POD)": pod, "$(INDEX)": index}[name]
	})
}
