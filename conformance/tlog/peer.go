// The other side of the conformance of core/log: golang.org/x/mod/sumdb/note and sumdb/tlog, as Debian packages them.
//
//	peer check DIR       verifies a log that we wrote: checkpoint, tiles, bundles, and the proofs of DIR/proofs.json
//	peer make DIR SIZE…  writes a log of the largest SIZE, with a checkpoint and proofs for each
//
// Tiles lie at the paths of C2SP tlog-tiles: those of sumdb without the height. Nothing of this is part of the product.
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8
const width = 1 << height

// proofs is what stands in DIR/proofs.json. Fields of []byte are base64.
type proofs struct {
	Vkey        string        `json:"vkey"`
	Inclusion   []inclusion   `json:"inclusion"`
	Consistency []consistency `json:"consistency"`
}
type inclusion struct {
	Index int64    `json:"index"`
	Size  int64    `json:"size"`
	Root  []byte   `json:"root"`
	Entry string   `json:"entry"`
	Path  [][]byte `json:"path"`
	Holds bool     `json:"holds"`
}
type consistency struct {
	Old     int64    `json:"old"`
	OldRoot []byte   `json:"oldRoot"`
	Size    int64    `json:"size"`
	Root    []byte   `json:"root"`
	Path    [][]byte `json:"path"`
	Holds   bool     `json:"holds"`
}

func main() {
	err := errors.New("usage: peer check DIR | peer make DIR SIZE…")
	if len(os.Args) == 3 && os.Args[1] == "check" {
		err = check(os.Args[2])
	}
	if len(os.Args) >= 4 && os.Args[1] == "make" {
		err = makeLog(os.Args[2], os.Args[3:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ours(t tlog.Tile) string {
	return strings.Replace(t.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
}

// folder reads tiles that somebody else wrote; TileHashReader verifies them.
type folder string

func (f folder) Height() int                                { return height }
func (f folder) SaveTiles(tiles []tlog.Tile, data [][]byte) {}
func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, t := range tiles {
		data, err := os.ReadFile(filepath.Join(string(f), ours(t)))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func parseCheckpoint(text string) (origin string, tree tlog.Tree, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return "", tree, errors.New("a checkpoint of another form")
	}
	tree.N, err = strconv.ParseInt(lines[1], 10, 64)
	if err == nil {
		tree.Hash, err = tlog.ParseHash(lines[2])
	}
	return lines[0], tree, err
}

func check(dir string) error {
	var all proofs
	data, err := os.ReadFile(filepath.Join(dir, "proofs.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	verifier, err := note.NewVerifier(all.Vkey)
	if err != nil {
		return err
	}
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if _, err := note.Open(bytes.Replace(signed, []byte("\n"), []byte("x\n"), 1), note.VerifierList(verifier)); err == nil {
		return errors.New("an altered checkpoint was opened")
	}
	origin, tree, err := parseCheckpoint(opened.Text)
	if err != nil || origin != verifier.Name() {
		return fmt.Errorf("checkpoint of %q: %v", origin, err)
	}
	fmt.Printf("checkpoint of %s, %d entries, %d signature(s) verified, %d of others\n", origin, tree.N, len(opened.Sigs), len(opened.UnverifiedSigs))
	reader := tlog.TileHashReader(tree, folder(dir))
	if root, err := tlog.TreeHash(tree.N, reader); err != nil || root != tree.Hash {
		return fmt.Errorf("tiles: root %v, %v", root, err)
	}
	if err := checkBundles(dir, tree.N, reader); err != nil {
		return err
	}
	if err := checkProofs(all, tree, reader); err != nil {
		return err
	}
	fmt.Printf("tiles and bundles of %d entries, %d inclusion and %d consistency proofs\n", tree.N, len(all.Inclusion), len(all.Consistency))
	return nil
}

// checkBundles holds every entry against its leaf hash, read through verified tiles.
func checkBundles(dir string, size int64, reader tlog.HashReader) error {
	for first := int64(0); first < size; first += width {
		count := size - first
		if count > width {
			count = width
		}
		t := tlog.Tile{H: height, L: 0, N: first / width, W: int(count)}
		data, err := os.ReadFile(filepath.Join(dir, strings.Replace(ours(t), "tile/0/", "tile/entries/", 1)))
		if err != nil {
			return err
		}
		var indexes []int64
		for i := int64(0); i < count; i++ {
			indexes = append(indexes, tlog.StoredHashIndex(0, first+i))
		}
		hashes, err := reader.ReadHashes(indexes)
		if err != nil {
			return fmt.Errorf("tile of bundle %d: %w", first/width, err)
		}
		for i, hash := range hashes {
			if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
				return fmt.Errorf("bundle %d ends in entry %d", first/width, i)
			}
			entry := data[2 : 2+int(binary.BigEndian.Uint16(data))]
			data = data[2+len(entry):]
			if tlog.RecordHash(entry) != hash {
				return fmt.Errorf("entry %d is not its leaf", first+int64(i))
			}
		}
		if len(data) != 0 {
			return fmt.Errorf("bundle %d has bytes behind its entries", first/width)
		}
	}
	return nil
}

func checkProofs(all proofs, tree tlog.Tree, reader tlog.HashReader) error {
	for i, one := range all.Inclusion {
		err := tlog.CheckRecord(hashes(one.Path), one.Size, hash(one.Root), one.Index, tlog.RecordHash([]byte(one.Entry)))
		if (err == nil) != one.Holds {
			return fmt.Errorf("inclusion proof %d: %v, holds: %v", i, err, one.Holds)
		}
		if !one.Holds || one.Size != tree.N {
			continue
		}
		made, err := tlog.ProveRecord(one.Size, one.Index, reader)
		if err != nil || fmt.Sprint(made) != fmt.Sprint(tlog.RecordProof(hashes(one.Path))) {
			return fmt.Errorf("inclusion proof %d: another was made, %v", i, err)
		}
	}
	for i, one := range all.Consistency {
		err := tlog.CheckTree(hashes(one.Path), one.Size, hash(one.Root), one.Old, hash(one.OldRoot))
		if (err == nil) != one.Holds {
			return fmt.Errorf("consistency proof %d: %v, holds: %v", i, err, one.Holds)
		}
		if !one.Holds || one.Size != tree.N {
			continue
		}
		made, err := tlog.ProveTree(one.Size, one.Old, reader)
		if err != nil || fmt.Sprint(made) != fmt.Sprint(tlog.TreeProof(hashes(one.Path))) {
			return fmt.Errorf("consistency proof %d: another was made, %v", i, err)
		}
	}
	return nil
}

func hash(b []byte) (h tlog.Hash) {
	copy(h[:], b)
	return h
}

func hashes(list [][]byte) []tlog.Hash {
	all := []tlog.Hash{}
	for _, b := range list {
		all = append(all, hash(b))
	}
	return all
}

func bytesOf(list []tlog.Hash) [][]byte {
	all := [][]byte{}
	for i := range list {
		all = append(all, list[i][:])
	}
	return all
}

// memory holds the stored hashes of the log that is made.
type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var all []tlog.Hash
	for _, i := range indexes {
		all = append(all, m[i])
	}
	return all, nil
}

func makeLog(dir string, args []string) error {
	skey, vkey, err := note.GenerateKey(rand.Reader, "go.example/log")
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return err
	}
	var stored memory
	var size, old int64
	all := proofs{Vkey: vkey}
	for _, arg := range args {
		next, err := strconv.ParseInt(arg, 10, 64)
		if err != nil || next <= old {
			return fmt.Errorf("%q is not a size above %d", arg, old)
		}
		for ; size < next; size++ {
			more, err := tlog.StoredHashes(size, []byte(fmt.Sprintf("entry %d", size)), stored)
			if err != nil {
				return err
			}
			stored = append(stored, more...)
		}
		if err := publish(dir, old, size, stored, signer); err != nil {
			return err
		}
		if err := prove(&all, old, size, stored); err != nil {
			return err
		}
		old = size
	}
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return write(dir, "proofs.json", data)
}

// publish writes the tiles and bundles that are new since the tree of old entries, and a checkpoint.
func publish(dir string, old, size int64, stored memory, signer note.Signer) error {
	for _, t := range tlog.NewTiles(height, old, size) {
		data, err := tlog.ReadTileData(t, stored)
		if err != nil {
			return err
		}
		if err := write(dir, ours(t), data); err != nil {
			return err
		}
		if t.L != 0 {
			continue
		}
		var bundle bytes.Buffer
		for i := 0; i < t.W; i++ {
			entry := fmt.Sprintf("entry %d", t.N*width+int64(i))
			binary.Write(&bundle, binary.BigEndian, uint16(len(entry)))
			bundle.WriteString(entry)
		}
		if err := write(dir, strings.Replace(ours(t), "tile/0/", "tile/entries/", 1), bundle.Bytes()); err != nil {
			return err
		}
	}
	root, err := tlog.TreeHash(size, stored)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", signer.Name(), size, base64.StdEncoding.EncodeToString(root[:]))
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return err
	}
	return write(dir, fmt.Sprintf("checkpoint.%d", size), signed)
}

func prove(all *proofs, old, size int64, stored memory) error {
	root, err := tlog.TreeHash(size, stored)
	if err != nil {
		return err
	}
	for _, index := range []int64{0, size / 3, size / 2, size - 1} {
		path, err := tlog.ProveRecord(size, index, stored)
		if err != nil {
			return err
		}
		all.Inclusion = append(all.Inclusion, inclusion{index, size, root[:], fmt.Sprintf("entry %d", index), bytesOf(path), true})
	}
	for _, from := range []int64{old, 1, size / 2, size - 1, size} {
		if from < 1 {
			continue
		}
		oldRoot, err := tlog.TreeHash(from, stored)
		if err != nil {
			return err
		}
		path, err := tlog.ProveTree(size, from, stored)
		if err != nil {
			return err
		}
		all.Consistency = append(all.Consistency, consistency{from, oldRoot[:], size, root[:], bytesOf(path), true})
	}
	return nil
}

func write(dir, path string, data []byte) error {
	full := filepath.Join(dir, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
		return err
	}
	return os.WriteFile(full, data, 0o600)
}
