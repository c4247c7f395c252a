// SPDX-License-Identifier: Apache-2.0
// Processes that Java starts: it spawns a helper without copying itself.
import java.io.IOException;
import java.util.*;

public class Spawn {
    public static void main(String[] args) throws Exception {
        Process cat = new ProcessBuilder("/bin/cat", "-n").redirectErrorStream(true).start();
        try (var out = cat.getOutputStream()) { out.write("one\ntwo\n".getBytes()); }
        System.out.print(new String(cat.getInputStream().readAllBytes()) + cat.waitFor());
        System.out.println(" " + Runtime.getRuntime().exec(new String[] { "/bin/false" }).waitFor());
        List<Process> sleepers = new ArrayList<>();
        for (int i = 0; i < 5; i++) sleepers.add(new ProcessBuilder("/bin/sleep", "0.1").start());
        int sum = 0;
        for (var p : sleepers) sum += p.waitFor();
        Process killed = new ProcessBuilder("/bin/sleep", "100").start();
        killed.destroy();
        System.out.println(sum + " " + killed.waitFor());
        try { new ProcessBuilder("/none").start(); } catch (IOException e) { System.out.println(e.getMessage()); }
        Process env = new ProcessBuilder("/usr/bin/env").start();
        System.out.println(new String(env.getInputStream().readAllBytes()).contains("LANG=C.UTF-8"));
    }
}
