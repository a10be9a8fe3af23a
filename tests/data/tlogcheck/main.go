// Tlogcheck reads a published log with Go's own transparency-log packages and says what it found.
//
//	tlogcheck <vkey> <http address or folder of ledger/> [<old checkpoint file>]
//
// 1. the note is signed by this key      2. every tile is that of the checkpoint (tlog.TileHashReader)
// 3. every entry hashes to its leaf      4. a proof of each entry, ours and Go's, leads to the root
// 5. the old checkpoint is the beginning of this one, by our proof and by Go's
package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func main() {
	old := ""
	if len(os.Args) > 3 {
		old = os.Args[3]
	}
	if err := check(os.Args[1], os.Args[2], old); err != nil {
		fmt.Println("REFUSED:", err)
		os.Exit(1)
	}
}

func check(vkey, base, old string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	signed, err := read(base, "checkpoint")
	if err != nil {
		return err
	}
	tree, err := open(signed, verifier) // 1
	if err != nil {
		return err
	}
	hashes := tlog.TileHashReader(tree, tiles{base})
	indexes := make([]int64, tree.N)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, int64(i))
	}
	leaves, err := hashes.ReadHashes(indexes) // 2
	if err != nil {
		return err
	}
	if err := entries(base, leaves); err != nil { // 3
		return err
	}
	proofs, err := included(base, tree, hashes, leaves, verifier) // 4
	if err != nil {
		return err
	}
	if old != "" { // 5
		if err := grown(base, old, tree, hashes, verifier); err != nil {
			return err
		}
	}
	fmt.Printf("%d entries, %d proofs of the log, root %s\n", tree.N, proofs, tree.Hash)
	return nil
}

func open(signed []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, errors.New("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

func entries(base string, leaves []tlog.Hash) error {
	for first := 0; first < len(leaves); first += 1 << height {
		width := len(leaves) - first
		if width > 1<<height {
			width = 1 << height
		}
		tile := tlog.Tile{H: height, L: -1, N: int64(first >> height), W: width}
		data, err := read(base, strings.Replace(tile.Path(), "tile/8/data", "tile/entries", 1))
		if err != nil {
			return err
		}
		for i := 0; i < width; i++ {
			if len(data) < 34 || data[0] != 0 || data[1] != 32 {
				return fmt.Errorf("the bundle of entry %d is not in its form", first+i)
			}
			if tlog.RecordHash(data[2:34]) != leaves[first+i] {
				return fmt.Errorf("entry %d does not hash to its leaf", first+i)
			}
			data = data[34:]
		}
		if len(data) > 0 {
			return fmt.Errorf("there is more behind entry %d than was asked for", first+width-1)
		}
	}
	return nil
}

// Of a folder there are no proofs, but Go makes them from the tiles.
func included(base string, tree tlog.Tree, hashes tlog.HashReader, leaves []tlog.Hash, verifier note.Verifier) (int, error) {
	proofs := 0
	for i, leaf := range leaves {
		index := int64(i)
		theirs, err := tlog.ProveRecord(tree.N, index, hashes)
		if err != nil {
			return 0, err
		}
		if err := tlog.CheckRecord(theirs, tree.N, tree.Hash, index, leaf); err != nil {
			return 0, err
		}
		if !strings.HasPrefix(base, "http") || i%61 != 0 {
			continue
		}
		text, err := read(base, fmt.Sprintf("proof/%d?size=%d", i, tree.N))
		if err != nil {
			return 0, err
		}
		head, signed, _ := bytes.Cut(text, []byte("\n\n"))
		under, err := open(signed, verifier)
		if err != nil {
			return 0, err
		}
		ours, err := path(strings.Split(string(head), "\n")[2:])
		if err != nil {
			return 0, err
		}
		if err := tlog.CheckRecord(ours, under.N, under.Hash, index, leaf); err != nil {
			return 0, fmt.Errorf("the proof of entry %d: %w", i, err)
		}
		proofs++
	}
	return proofs, nil
}

func grown(base, old string, tree tlog.Tree, hashes tlog.HashReader, verifier note.Verifier) error {
	signed, err := os.ReadFile(old)
	if err != nil {
		return err
	}
	before, err := open(signed, verifier)
	if err != nil {
		return err
	}
	theirs, err := tlog.ProveTree(tree.N, before.N, hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(theirs, tree.N, tree.Hash, before.N, before.Hash); err != nil {
		return err
	}
	if !strings.HasPrefix(base, "http") {
		return nil
	}
	text, err := read(base, fmt.Sprintf("consistency?from=%d&to=%d", before.N, tree.N))
	if err != nil {
		return err
	}
	ours, err := path(strings.Fields(string(text)))
	if err != nil {
		return err
	}
	return tlog.CheckTree(ours, tree.N, tree.Hash, before.N, before.Hash)
}

func path(lines []string) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, 0, len(lines))
	for _, line := range lines {
		data, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(data) != tlog.HashSize {
			return nil, errors.New("a step of a proof is not a hash")
		}
		var hash tlog.Hash
		copy(hash[:], data)
		found = append(found, hash)
	}
	return found, nil
}

// tiles serves tlog.TileHashReader, which checks each against the tree before it is used.
type tiles struct{ base string }

func (t tiles) Height() int { return height }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(wanted))
	for i, tile := range wanted {
		data, err := read(t.base, strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			return nil, err
		}
		found[i] = data
	}
	return found, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func read(base, name string) ([]byte, error) {
	if !strings.HasPrefix(base, "http") {
		return os.ReadFile(filepath.Join(base, name))
	}
	request, err := http.NewRequest("GET", base+"/"+name, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", os.Getenv("TLOG_AUTHORIZATION"))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != 200 {
		return nil, fmt.Errorf("%s answers %s", name, response.Status)
	}
	return io.ReadAll(response.Body)
}
