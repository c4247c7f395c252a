// SPDX-License-Identifier: Apache-2.0
// Fills the heap to most of its size with live objects while making garbage from several threads. Argument: MiB to keep.
import java.util.*;

public class Heap {
    static final int BLOCK = 16 << 10;

    public static void main(String[] args) throws Exception {
        int mib = Integer.parseInt(args[0]), threads = 4;
        byte[][][] kept = new byte[threads][(mib << 20) / BLOCK / threads][];
        Thread[] workers = new Thread[threads];
        long[] sums = new long[threads];
        for (int t = 0; t < threads; t++) {
            int n = t;
            workers[t] = new Thread(() -> {
                for (int i = 0; i < kept[n].length; i++) {
                    kept[n][i] = new byte[BLOCK];
                    kept[n][i][i % BLOCK] = (byte) (i + n);
                    String garbage = "x" + i;
                    sums[n] += garbage.length();
                }
                for (int i = 0; i < kept[n].length; i += 2) kept[n][i] = Arrays.copyOf(kept[n][i], BLOCK);
                for (int i = 0; i < kept[n].length; i++) sums[n] += kept[n][i][i % BLOCK];
            });
            workers[t].start();
        }
        for (Thread w : workers) w.join();
        System.gc();
        long used = Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
        System.out.println(Arrays.toString(sums) + " " + (used > ((long) mib << 20)) + " " + (Runtime.getRuntime().maxMemory() >> 20 > mib));
    }
}
