// SPDX-License-Identifier: Apache-2.0
// The smallest Go program: what a start of the runtime needs.
package main

import "fmt"

func main() { fmt.Println("hello go") }
