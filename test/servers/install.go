//go:build linux

package servers

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Names of what Install knows.
const (
	NameKafka         = "kafka"
	NameElasticsearch = "elasticsearch"
	NameDocker        = "docker"
	NameStatsd        = "statsd"
	NameRsyslog       = "rsyslog"
	// An OpenTelemetry collector for Kafka, and one with an exporter for Elasticsearch as well: two, since the
	// first is of use where the second's modules cannot be had.
	NameOtelcol              = "otelcol"
	NameOtelcolElasticsearch = "otelcol-elasticsearch"
)

// All holds the names that Install knows of what tests need; the collectors are for comparisons alone.
var All = []string{NameKafka, NameElasticsearch, NameDocker, NameStatsd, NameRsyslog}

// debian is a package and the command by which its presence is known; without one dpkg is asked.
type debian struct{ pkg, command string }

var (
	java  = debian{"openjdk-17-jre-headless", "java"}
	maven = debian{"maven", "mvn"}
	debs  = map[string][]debian{
		NameKafka:         {java, maven, {"kcat", "kcat"}, {"openssl", "openssl"}},
		NameElasticsearch: {java, {"openjdk-17-jdk-headless", "javac"}, maven},
		NameDocker:        {{"docker.io", "dockerd"}, {"iptables", "iptables"}, {"busybox-static", ""}},
		NameStatsd:        {{"nodejs", "node"}, {"npm", "npm"}},
		NameRsyslog:       {{"rsyslog", "rsyslogd"}, {"rsyslog-kafka", ""}, {"rsyslog-elasticsearch", ""}},

		NameOtelcol:              {}, // Go, of any origin
		NameOtelcolElasticsearch: {},
	}
	recipes = map[string]recipe{
		NameElasticsearch: {"8.18.8", elasticsearchPOM + launcher, installElasticsearch},
		NameStatsd:        {statsdVersion, "", installStatsd},

		NameOtelcol:              {OtelcolVersion, otelcolMod + otelcolMain, installOtelcol},
		NameOtelcolElasticsearch: {OtelcolVersion, otelcolElasticsearchMod + otelcolMain + otelcolElasticsearch, installOtelcolElasticsearch},
	}
)

// recipeOf is that of a server. Kafka's are by version: kafka, or kafka@2.4.1.
func recipeOf(name string) recipe {
	base, version, _ := strings.Cut(name, "@")
	if base != NameKafka {
		return recipes[name]
	}
	pom := kafkaPOM(orDefault(version, KafkaVersion))
	return recipe{orDefault(version, KafkaVersion), pom, func(ctx context.Context, dir string) error { return copyJars(ctx, dir, pom) }}
}

// recipe fills the cache with one server. The directory's name holds a hash of source, so that a changed recipe is
// carried out again.
type recipe struct {
	version string
	source  string
	fill    func(ctx context.Context, dir string) error
}

//go:embed es/Launcher.java
var launcher string

const pom = `<project><modelVersion>4.0.0</modelVersion><groupId>sluice.test</groupId><artifactId>servers</artifactId>
<version>1</version><packaging>pom</packaging><dependencies>
%s</dependencies></project>
`

// kafkaPOM has MirrorMaker 2 in the usual version alone: not every version of it can be had.
func kafkaPOM(version string) string {
	artifacts := []string{"kafka_2.13", "kafka-tools"}
	if version == KafkaVersion {
		artifacts = append(artifacts, "connect-mirror", "connect-runtime")
	}
	return fmt.Sprintf(pom, dependency("org.apache.kafka", version, artifacts...)+
		dependency("org.slf4j", "1.7.36", "slf4j-simple")) // else it logs nothing
}

var elasticsearchPOM = fmt.Sprintf(pom, dependency("org.elasticsearch", "8.18.8", "elasticsearch")+
	dependency("org.elasticsearch.plugin", "8.18.8", "transport-netty4"))

func dependency(group, version string, artifacts ...string) string {
	var b strings.Builder
	for _, a := range artifacts {
		fmt.Fprintf(&b, "<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n", group, a, version)
	}
	return b.String()
}

// Install brings what the named servers need onto this machine: Debian packages by apt-get, which needs root if one is
// missing, and Maven and npm packages into the cache, $SLUICE_CACHE or sluice-test in the user's cache directory. What
// is there is not fetched again. Several programs may call it at the same time: a file lock lets one through.
func Install(ctx context.Context, names ...string) error {
	for _, name := range names {
		if debs[baseOf(name)] == nil {
			return fmt.Errorf("install %s: known are %s", name, strings.Join(slices.Sorted(maps.Keys(debs)), ", "))
		}
	}
	if len(missing(names)) == 0 && cached(names) {
		return nil
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	unlock, err := lock(ctx, filepath.Join(cache, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if err := installDebs(ctx, missing(names)); err != nil {
		return err
	}
	for _, name := range names {
		if err := fill(ctx, name); err != nil {
			return fmt.Errorf("install %s: %w", name, err)
		}
	}
	return nil
}

func baseOf(name string) string {
	base, _, _ := strings.Cut(name, "@")
	return base
}

// home is where the recipe of a server puts its files.
func home(name string) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	r := recipeOf(name)
	return filepath.Join(cache, fmt.Sprintf("%s-%s-%.4x", baseOf(name), r.version, sha256.Sum256([]byte(r.source)))), nil
}

func cacheDir() (string, error) {
	dir := os.Getenv("SLUICE_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache directory (set SLUICE_CACHE): %w", err)
		}
		dir = filepath.Join(user, "sluice-test")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}

func cached(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		if recipeOf(name).fill == nil {
			return false
		}
		dir, err := home(name)
		return err != nil || !exists(dir)
	})
}

// fill carries a recipe out beside its final place and moves the whole there, so that what is there is complete.
func fill(ctx context.Context, name string) error {
	if cached([]string{name}) {
		return nil
	}
	dir, err := home(name)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "unfinished-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	for try := 1; ; try++ { // registries have bad moments
		if err := recipeOf(name).fill(ctx, tmp); err == nil {
			return os.Rename(tmp, dir)
		} else if try == 3 || ctx.Err() != nil {
			return err
		}
	}
}

// The netty transport is a module with a class loader of its own; on the class path it would be found twice.
const nettyPlugin = `name=transport-netty4
description=Netty 4 transport and HTTP
classname=org.elasticsearch.transport.netty4.Netty4Plugin
version=8.18.8
elasticsearch.version=8.18.8
java.version=17
has.native.controller=false
`

func installElasticsearch(ctx context.Context, dir string) error {
	lib, module := filepath.Join(dir, "lib"), filepath.Join(dir, "modules/transport-netty4")
	if err := copyJars(ctx, dir, elasticsearchPOM); err != nil {
		return err
	}
	source := filepath.Join(dir, "Launcher.java")
	if err := errors.Join(os.MkdirAll(module, 0o755),
		os.WriteFile(filepath.Join(module, "plugin-descriptor.properties"), []byte(nettyPlugin), 0o644),
		os.WriteFile(source, []byte(launcher), 0o644)); err != nil {
		return err
	}
	netty, _ := filepath.Glob(filepath.Join(lib, "netty-*.jar"))
	plugin, _ := filepath.Glob(filepath.Join(lib, "transport-netty4-*.jar"))
	for _, jar := range append(netty, plugin...) {
		if err := os.Rename(jar, filepath.Join(module, filepath.Base(jar))); err != nil {
			return err
		}
	}
	_, err := run(ctx, "javac", "-cp", lib+"/*", "-d", filepath.Join(dir, "classes"), source)
	return err
}

// copyJars fetches what the POM depends on into dir/lib, but nothing that has slf4j log elsewhere than slf4j-simple.
func copyJars(ctx context.Context, dir, pom string) error {
	file := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(file, []byte(pom), 0o644); err != nil {
		return err
	}
	_, err := run(ctx, "mvn", "-B", "-q", "-f", file, "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DexcludeArtifactIds=slf4j-log4j12,slf4j-reload4j", "-DoutputDirectory="+filepath.Join(dir, "lib"))
	return err
}

const statsdVersion = "0.9.0"

func installStatsd(ctx context.Context, dir string) error {
	_, err := run(ctx, "npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--omit=optional", "--ignore-scripts", "statsd@"+statsdVersion)
	return err
}

// missing returns the Debian packages that are not there, each once.
func missing(names []string) []string {
	var pkgs []string
	for _, name := range names {
		for _, d := range debs[baseOf(name)] {
			if !slices.Contains(pkgs, d.pkg) && !d.present() {
				pkgs = append(pkgs, d.pkg)
			}
		}
	}
	return pkgs
}

func (d debian) present() bool {
	if d.command != "" {
		_, err := lookPath(d.command)
		return err == nil
	}
	status, _ := exec.Command("dpkg-query", "-W", "-f", "${db:Status-Status}", d.pkg).Output()
	return string(status) == "installed"
}

func installDebs(ctx context.Context, pkgs []string) error {
	if len(pkgs) == 0 {
		return nil
	}
	list := strings.Join(pkgs, " ")
	if os.Getuid() != 0 {
		return fmt.Errorf("missing Debian packages, and only root can install them: apt-get install %s", list)
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this machine has no apt-get; install by hand what Debian calls %s", list)
	}
	allow, err := forbidServices("/usr/sbin/policy-rc.d")
	if err != nil {
		return err
	}
	defer allow()
	apt := append([]string{"DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q", "-o", "DPkg::Lock::Timeout=600",
		"install", "--no-install-recommends"}, pkgs...)
	if _, err := run(ctx, "env", apt...); err == nil {
		return nil
	}
	// Package lists that are missing or old are the usual reason.
	if _, err := run(ctx, "apt-get", "-q", "update"); err != nil {
		return err
	}
	_, err = run(ctx, "env", apt...)
	return err
}

// forbidServices keeps apt-get from starting the services it installs. A policy that is there stays as it is.
func forbidServices(policy string) (allow func() error, err error) {
	if exists(policy) {
		return func() error { return nil }, nil
	}
	if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return nil, fmt.Errorf("keep apt-get from starting services: %w", err)
	}
	return func() error { return os.Remove(policy) }, nil
}

// lock waits until no other process holds the file locked.
func lock(ctx context.Context, name string) (unlock func() error, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f.Close, nil
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for another install (%s): %w", name, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// run returns what the command printed to standard output. The error holds what matters of what it printed.
func run(ctx context.Context, name string, args ...string) (string, error) {
	path, err := lookPath(name)
	if err != nil {
		return "", err
	}
	var out, errs strings.Builder
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, digest(out.String()+errs.String()))
	}
	return out.String(), nil
}

// lookPath also looks where Debian keeps daemons, which a user's PATH may leave out.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if exists(filepath.Join(dir, name)) {
			return filepath.Join(dir, name), nil
		}
	}
	return "", err
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
