// SPDX-License-Identifier: Apache-2.0
// What programs do with a Java virtual machine, each part with a line of its own. The output is the same on each run.
import java.io.*;
import java.math.BigInteger;
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.regex.*;
import java.util.stream.*;
import java.util.zip.*;
import javax.crypto.Cipher;
import javax.crypto.spec.*;

public class Tour {
    interface Part { Object run() throws Exception; }

    static final Map<String, Part> PARTS = new LinkedHashMap<>();
    static { PARTS.put("hot_loop", Tour::hotLoop); PARTS.put("null_checks", Tour::nullChecks); PARTS.put("stack_overflow", Tour::stackOverflow);
        PARTS.put("arithmetic_traps", Tour::arithmeticTraps); PARTS.put("garbage", Tour::garbage); PARTS.put("out_of_memory", Tour::outOfMemory);
        PARTS.put("threads", Tour::threads); PARTS.put("safepoints", Tour::safepoints); PARTS.put("locks", Tour::locks);
        PARTS.put("parallel_streams", Tour::parallelStreams); PARTS.put("files", Tour::files); PARTS.put("mapped_file", Tour::mappedFile);
        PARTS.put("sockets", Tour::sockets); PARTS.put("selector", Tour::selector); PARTS.put("crypto", Tour::crypto);
        PARTS.put("compression", Tour::compression); PARTS.put("regex", Tour::regex); PARTS.put("timers", Tour::timers);
        PARTS.put("many_classes", Tour::manyClasses); PARTS.put("big_numbers", Tour::bigNumbers); PARTS.put("direct_memory", Tour::directMemory);
        PARTS.put("interrupt", Tour::interrupt); PARTS.put("container", Tour::container); PARTS.put("serialization", Tour::serialization); }

    public static void main(String[] args) throws Exception {
        for (var part : PARTS.entrySet())
            if (args.length == 0 || Arrays.asList(args).contains(part.getKey()))
                System.out.println(part.getKey() + ": " + part.getValue().run());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("shutdown hook")));
        System.exit(3);
    }

    static Object hotLoop() {
        long sum = 0;
        for (int i = 0; i < 50_000_000; i++) sum += (i ^ (i >>> 3)) % 7;
        return sum;
    }

    static int length(String s) { return s.length(); }

    // Compiled code has no test for null: the processor's fault becomes the exception.
    static Object nullChecks() {
        int caught = 0;
        for (int i = 0; i < 200_000; i++) {
            try { caught += length(i % 100 == 99 ? null : "abc") == 3 ? 0 : 1000; } catch (NullPointerException e) { caught++; }
        }
        return caught;
    }

    static int depth;
    static void descend() { depth++; descend(); }
    static Object stackOverflow() throws Exception {
        int[] overflows = new int[1];
        Runnable fall = () -> { for (int i = 0; i < 5; i++) try { depth = 0; descend(); } catch (StackOverflowError e) { if (depth > 1000) overflows[0]++; } };
        fall.run();
        Thread thread = new Thread(fall);
        thread.start(); thread.join();
        return overflows[0];
    }

    static int divide(int a, int b) { return a / b; }
    static Object arithmeticTraps() {
        int caught = 0;
        for (int i = 0; i < 100_000; i++)
            try { divide(i, i % 50); } catch (ArithmeticException e) { caught++; }
        int[] array = new int[10];
        try { array[caught] = 1; } catch (ArrayIndexOutOfBoundsException e) { return caught + " " + e.getMessage(); }
        return null;
    }

    static Object garbage() {
        Map<Integer, byte[]> kept = new HashMap<>();
        long bytes = 0;
        for (int i = 0; i < 30_000; i++) {
            byte[] block = new byte[8192];
            block[i % 8192] = 1;
            kept.put(i % 2000, block);
            bytes += block.length;
        }
        System.gc();
        return bytes + " " + kept.values().stream().mapToInt(b -> { int n = 0; for (byte x : b) n += x; return n; }).sum();
    }

    static Object outOfMemory() {
        List<long[]> all = new ArrayList<>();
        try { while (true) all.add(new long[16 << 20]); }
        catch (OutOfMemoryError e) { boolean some = all.size() > 0; all = null; return some + " " + e.getMessage(); }
    }

    static Object threads() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(16);
        List<Future<Integer>> futures = new ArrayList<>();
        for (int i = 0; i < 500; i++) { int n = i; futures.add(pool.submit(() -> n * n % 1000)); }
        int sum = 0;
        for (var f : futures) sum += f.get();
        pool.shutdown();
        return sum + " " + pool.awaitTermination(10, TimeUnit.SECONDS);
    }

    // Threads in compiled loops without calls are stopped again and again by the collector.
    static Object safepoints() throws Exception {
        AtomicBoolean stop = new AtomicBoolean();
        LongAdder turns = new LongAdder();
        Thread[] spinners = new Thread[4];
        for (int i = 0; i < spinners.length; i++) {
            spinners[i] = new Thread(() -> { long n = 0; while (!stop.get()) n++; turns.add(n); });
            spinners[i].start();
        }
        for (int i = 0; i < 20; i++) { System.gc(); Thread.getAllStackTraces(); }
        stop.set(true);
        for (Thread t : spinners) t.join();
        return turns.sum() > 0;
    }

    static Object locks() throws Exception {
        Object monitor = new Object();
        var lock = new java.util.concurrent.locks.ReentrantLock();
        int[] counts = new int[2];
        CyclicBarrier barrier = new CyclicBarrier(4);
        Thread[] workers = new Thread[4];
        for (int i = 0; i < 4; i++) {
            workers[i] = new Thread(() -> {
                try { barrier.await(); } catch (Exception e) { throw new RuntimeException(e); }
                for (int n = 0; n < 20_000; n++) {
                    synchronized (monitor) { counts[0]++; monitor.notifyAll(); }
                    lock.lock(); try { counts[1]++; } finally { lock.unlock(); }
                }
            });
            workers[i].start();
        }
        synchronized (monitor) { while (counts[0] < 1000) monitor.wait(100); }
        for (Thread t : workers) t.join();
        return Arrays.toString(counts);
    }

    static Object parallelStreams() {
        return IntStream.range(0, 1_000_000).parallel().mapToLong(i -> (long) i * i % 97).sum() + " "
            + Stream.of("pear", "apple", "fig", "date").parallel().sorted().collect(Collectors.joining(","));
    }

    static Object files() throws Exception {
        Path folder = Files.createTempDirectory("tour");
        Path file = folder.resolve("a.txt");
        Files.writeString(file, "one\ntwo\nthree \u00e9\n");
        Files.copy(file, folder.resolve("b"));
        Files.createSymbolicLink(folder.resolve("s"), file);
        Files.move(folder.resolve("b"), folder.resolve("c"), StandardCopyOption.ATOMIC_MOVE);
        Files.setPosixFilePermissions(file, java.nio.file.attribute.PosixFilePermissions.fromString("rw-r-----"));
        String names;
        try (var list = Files.list(folder)) { names = list.map(p -> p.getFileName().toString()).sorted().toList().toString(); }
        String rest = Files.readAllLines(folder.resolve("s")) + " " + Files.size(file) + " "
            + Files.getAttribute(file, "unix:mode") + " " + Files.isSymbolicLink(folder.resolve("s"));
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE); FileLock held = channel.lock()) { rest += " " + held.isValid(); }
        try { Files.delete(folder); } catch (DirectoryNotEmptyException e) { rest += " not empty"; }
        try (var walk = Files.walk(folder)) { for (Path p : walk.sorted(Comparator.reverseOrder()).toList()) Files.delete(p); }
        try { Files.readString(file); } catch (NoSuchFileException e) { rest += " gone"; }
        return names + rest;
    }

    static Object mappedFile() throws Exception {
        Path file = Files.createTempFile("tour", "map");
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            MappedByteBuffer map = channel.map(FileChannel.MapMode.READ_WRITE, 0, 1 << 20);
            map.putInt(4096, 0x01020304);
            map.force();
            ByteBuffer read = ByteBuffer.allocate(4);
            channel.read(read, 4096);
            return Arrays.toString(read.array()) + " " + channel.size();
        } finally { Files.delete(file); }
    }

    static Object sockets() throws Exception {
        try (ServerSocket server = new ServerSocket(0, 10, InetAddress.getLoopbackAddress())) {
            Thread thread = new Thread(() -> {
                try { while (true) try (Socket s = server.accept()) { s.getInputStream().transferTo(s.getOutputStream()); } }
                catch (IOException closed) { }
            });
            thread.start();
            StringBuilder out = new StringBuilder();
            for (int i = 0; i < 20; i++)
                try (Socket s = new Socket(server.getInetAddress(), server.getLocalPort())) {
                    s.setTcpNoDelay(true);
                    s.getOutputStream().write(("ping" + i).getBytes());
                    s.shutdownOutput();
                    out.append(new String(s.getInputStream().readAllBytes())).append(' ');
                }
            try (Socket s = new Socket()) {
                s.setSoTimeout(50);
                s.connect(server.getLocalSocketAddress());
                try { s.getInputStream().read(); } catch (SocketTimeoutException e) { out.append("timeout"); }
            }
            server.close();
            thread.join();
            return out;
        }
    }

    static Object selector() throws Exception {
        try (Selector selector = Selector.open(); ServerSocketChannel server = ServerSocketChannel.open(); DatagramChannel udp = DatagramChannel.open()) {
            server.bind(new InetSocketAddress("127.0.0.1", 0)).configureBlocking(false);
            server.register(selector, SelectionKey.OP_ACCEPT);
            udp.bind(new InetSocketAddress("127.0.0.1", 0));
            udp.send(ByteBuffer.wrap("datagram".getBytes()), udp.getLocalAddress());
            ByteBuffer datagram = ByteBuffer.allocate(100);
            udp.receive(datagram);
            SocketChannel client = SocketChannel.open(server.getLocalAddress());
            client.write(ByteBuffer.wrap("via selector".getBytes()));
            String got = "";
            while (got.length() < 12) {
                selector.select(1000);
                for (var it = selector.selectedKeys().iterator(); it.hasNext(); it.remove()) {
                    SelectionKey key = it.next();
                    if (key.isAcceptable()) {
                        SocketChannel s = server.accept();
                        s.configureBlocking(false);
                        s.register(selector, SelectionKey.OP_READ);
                    } else if (key.isReadable()) {
                        ByteBuffer b = ByteBuffer.allocate(64);
                        if (((SocketChannel) key.channel()).read(b) < 0) return "closed";
                        got += new String(b.array(), 0, b.position());
                    }
                }
            }
            new Thread(selector::wakeup).start();
            selector.select();
            client.close();
            return got + " " + datagram.position();
        }
    }

    static Object crypto() throws Exception {
        MessageDigest md = MessageDigest.getInstance("SHA-256");
        Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
        cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(new byte[16], "AES"), new GCMParameterSpec(128, new byte[12]));
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(256);
        KeyPair pair = generator.generateKeyPair();
        Signature signature = Signature.getInstance("SHA256withECDSA");
        signature.initSign(pair.getPrivate());
        signature.update("text".getBytes());
        byte[] signed = signature.sign();
        signature.initVerify(pair.getPublic());
        signature.update("text".getBytes());
        return HexFormat.of().formatHex(md.digest(new byte[1000])) + " " + HexFormat.of().formatHex(cipher.doFinal("plain".getBytes()))
            + " " + signature.verify(signed) + " " + new SecureRandom().generateSeed(8).length;
    }

    static Object compression() throws Exception {
        byte[] data = IntStream.range(0, 60_000).mapToObj(Integer::toString).collect(Collectors.joining(",")).getBytes();
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (GZIPOutputStream zip = new GZIPOutputStream(out)) { zip.write(data); }
        CRC32 crc = new CRC32();
        crc.update(data);
        return Arrays.equals(data, new GZIPInputStream(new ByteArrayInputStream(out.toByteArray())).readAllBytes()) + " " + crc.getValue();
    }

    static Object regex() {
        Matcher m = Pattern.compile("(?<year>\\d{4})-(?<month>\\d\\d)").matcher("from 2019-04 to 2024-11");
        List<String> found = new ArrayList<>();
        while (m.find()) found.add(m.group("month") + "/" + m.group("year"));
        return found + " " + "a,b;c".split("[,;]").length + " " + String.format(Locale.ROOT, "%08.3f|%x|%s", Math.PI, 255, Locale.ROOT);
    }

    static Object timers() throws Exception {
        ScheduledExecutorService timer = Executors.newScheduledThreadPool(2);
        AtomicInteger ticks = new AtomicInteger();
        timer.scheduleAtFixedRate(ticks::incrementAndGet, 1, 5, TimeUnit.MILLISECONDS);
        boolean slept = timer.schedule(() -> true, 60, TimeUnit.MILLISECONDS).get();
        timer.shutdownNow();
        long start = System.nanoTime();
        Thread.sleep(20);
        long took = (System.nanoTime() - start) / 1_000_000;
        return slept + " " + (ticks.get() >= 2) + " " + (took >= 20 && took < 2000) + " " + (System.currentTimeMillis() > 1_600_000_000_000L);
    }

    // Classes made at run time: code is compiled, thrown away and compiled again.
    static Object manyClasses() {
        Supplier3[] all = new Supplier3[300];
        for (int i = 0; i < all.length; i++) {
            int n = i;
            all[i] = (Supplier3) java.lang.reflect.Proxy.newProxyInstance(Tour.class.getClassLoader(), new Class<?>[] { Supplier3.class }, (p, m, a) -> n);
        }
        int sum = 0;
        for (int round = 0; round < 200; round++) for (var s : all) sum += s.get();
        return sum;
    }
    interface Supplier3 { int get(); }

    static Object bigNumbers() {
        return BigInteger.TWO.pow(4423).subtract(BigInteger.ONE).isProbablePrime(5) + " " + IntStream.rangeClosed(1, 200).mapToObj(BigInteger::valueOf).reduce(BigInteger.ONE, BigInteger::multiply).bitLength();
    }

    static Object directMemory() {
        long sum = 0;
        for (int i = 0; i < 50; i++) {
            ByteBuffer b = ByteBuffer.allocateDirect(4 << 20);
            b.putLong(i * 1000, i);
            sum += b.getLong(i * 1000);
        }
        return sum;
    }

    static Object interrupt() throws Exception {
        String[] ended = new String[2];
        Thread a = new Thread(() -> { try { Thread.sleep(60_000); } catch (InterruptedException e) { ended[0] = "sleep"; } });
        ReadableByteChannel source = Pipe.open().source();
        Thread b = new Thread(() -> { try { source.read(ByteBuffer.allocate(1)); } catch (ClosedByInterruptException e) { ended[1] = "read"; } catch (IOException e) { ended[1] = e.toString(); } });
        a.start(); b.start();
        Thread.sleep(50);
        a.interrupt(); b.interrupt();
        a.join(); b.join();
        return Arrays.toString(ended);
    }

    static Object container() {
        Runtime r = Runtime.getRuntime();
        return (r.availableProcessors() >= 1) + " " + (r.totalMemory() <= r.maxMemory()) + " " + (ProcessHandle.current().pid() > 0)
            + " " + System.getProperty("os.name") + " " + System.getProperty("os.arch") + " " + System.getenv("LANG");
    }

    record Point(int x, String name) implements Serializable { }
    static Object serialization() throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (ObjectOutputStream o = new ObjectOutputStream(out)) { o.writeObject(List.of(new Point(1, "a"), new Point(2, "b"))); }
        return new ObjectInputStream(new ByteArrayInputStream(out.toByteArray())).readObject();
    }
}
