package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-muster/muster/bench/compare/internal/chart"
	"github.com/go-muster/muster/bench/compare/internal/results"
)

// publish writes everything that was asked for, and tables to standard output.
func publish(all results.Results, o options) error {
	if o.JSON != "" {
		if err := save(all, o.JSON); err != nil {
			return err
		}
	}
	if o.Charts != "" {
		if _, err := draw(all, o.Charts); err != nil {
			return err
		}
	}
	if o.Docs != "" {
		return document(all, o.Docs)
	}
	fmt.Println(all.MachineMarkdown())
	for _, row := range all.Rows {
		fmt.Println(row.Markdown())
	}
	fmt.Println(all.GrowthMarkdown())
	fmt.Println(all.AimsMarkdown(aims))
	return nil
}

func save(all results.Results, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := all.Write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// draw returns the names of the rows that have a chart.
func draw(all results.Results, dir string) (map[string]bool, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	charts := map[string]bool{}
	for _, row := range all.Rows {
		drawn, err := chart.Save(row, dir)
		if err != nil {
			return nil, err
		}
		charts[row.Name] = drawn
	}
	return charts, nil
}

// document renews what performance.md says between its marks. Rows that were not measured stay as they are.
func document(all results.Results, docs string) error {
	page, dir := filepath.Join(docs, "performance.md"), filepath.Join(docs, "performance")
	b, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	if all, err = besideEarlier(all, filepath.Join(dir, "results.json")); err != nil {
		return err
	}
	charts, err := draw(all, dir)
	if err != nil {
		return err
	}
	sections := map[string]string{"machine": all.MachineMarkdown(), "aims": all.AimsMarkdown(aims), "growth": all.GrowthMarkdown()}
	for _, row := range all.Rows {
		sections[row.Name] = row.Markdown()
		if charts[row.Name] {
			sections[row.Name] += fmt.Sprintf("\n![%s](performance/%s.svg)\n", row.Title, row.Name)
		}
	}
	text := string(b)
	for name, section := range sections {
		spliced, ok := results.Splice(text, name, section)
		if !ok {
			return fmt.Errorf("%s has no place for %s: <!-- compare:%[2]s --> and <!-- /compare:%[2]s -->", page, name)
		}
		text = spliced
	}
	if err := save(all, filepath.Join(dir, "results.json")); err != nil {
		return err
	}
	return os.WriteFile(page, []byte(text), 0o644)
}

// besideEarlier adds the rows of the page's earlier runs.
func besideEarlier(all results.Results, path string) (results.Results, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return all, err
	}
	defer f.Close()
	earlier, err := results.Read(f)
	if err != nil {
		return all, err
	}
	return all.Over(earlier)
}
