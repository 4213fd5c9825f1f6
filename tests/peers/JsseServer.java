// An HTTPS server on the JDK's own TLS stack that requires a client certificate.
//
// java JsseServer.java DIR: reads rsa.crt, rsa.key, ecdsa.crt, ecdsa.key and ca.crt (PEM, keys in PKCS#8) from DIR,
// builds PKCS#12 key stores from them in memory, listens on four ports chosen by the kernel and prints these:
// TLS 1.2 with RSA, TLS 1.2 with ECDSA, TLS 1.3 with RSA, TLS 1.3 with ECDSA. Ends when its standard input ends, so
// that it never outlives the test. x-seen-… headers tell how the request arrived.
//
// SSLServerSocket and not com.sun.net.httpserver: the latter drops the connection of a stranger without the alert
// that says why, which no application server does.

import java.io.BufferedInputStream;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public class JsseServer {
    private static final char[] PASSWORD = "throw-away".toCharArray();

    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[0]);
        StringBuilder ports = new StringBuilder();
        for (String protocol : new String[] {"TLSv1.2", "TLSv1.3"}) {
            for (String[] key : new String[][] {{"rsa", "RSA"}, {"ecdsa", "EC"}}) {
                ports.append(start(directory, protocol, key[0], key[1])).append(' ');
            }
        }
        System.out.println(ports.toString().trim());
        System.out.flush();
        while (System.in.read() >= 0) { }
        System.exit(0);
    }

    private static int start(Path directory, String protocol, String name, String algorithm) throws Exception {
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys(directory, name, algorithm).getKeyManagers(), trust(directory).getTrustManagers(), null);
        SSLServerSocket listener = (SSLServerSocket) context.getServerSocketFactory()
            .createServerSocket(0, 64, InetAddress.getByName("127.0.0.1"));
        listener.setNeedClientAuth(true);
        listener.setEnabledProtocols(new String[] {protocol});
        daemon(() -> {
            while (true) {
                SSLSocket socket = (SSLSocket) listener.accept();
                daemon(() -> serve(socket));
            }
        });
        return listener.getLocalPort();
    }

    private interface Work {
        void run() throws Exception;
    }

    private static void daemon(Work work) {
        Thread thread = new Thread(() -> {
            try {
                work.run();
            } catch (Exception ignored) {
                // a caller that left, or was refused: the test looks at it from the other side
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    private static KeyManagerFactory keys(Path directory, String name, String algorithm) throws Exception {
        byte[] der = pem(Files.readString(directory.resolve(name + ".key")));
        PrivateKey key = KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(der));
        Certificate[] chain = certificates(directory.resolve(name + ".crt"));
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        store.setKeyEntry("server", key, PASSWORD, chain);
        KeyManagerFactory factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        factory.init(store, PASSWORD);
        return factory;
    }

    private static TrustManagerFactory trust(Path directory) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        int count = 0;
        for (Certificate certificate : certificates(directory.resolve("ca.crt"))) {
            store.setCertificateEntry("ca" + count++, certificate);
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        return factory;
    }

    private static Certificate[] certificates(Path file) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        byte[] bytes = Files.readAllBytes(file);
        return factory.generateCertificates(new ByteArrayInputStream(bytes)).toArray(Certificate[]::new);
    }

    private static byte[] pem(String text) {
        String body = text.replaceAll("-----(BEGIN|END) PRIVATE KEY-----", "").replaceAll("\\s", "");
        return Base64.getDecoder().decode(body);
    }

    private static void serve(SSLSocket socket) throws Exception {
        try (socket) {
            socket.startHandshake();
            InputStream in = new BufferedInputStream(socket.getInputStream());
            while (answer(socket, in)) { }
        }
    }

    // one request; false at the end of the connection
    private static boolean answer(SSLSocket socket, InputStream in) throws Exception {
        String request = line(in);
        if (request == null) {
            return false;
        }
        String[] words = request.split(" ");
        Map<String, String> asked = new HashMap<>();
        for (String line = line(in); line != null && !line.isEmpty(); line = line(in)) {
            int colon = line.indexOf(':');
            asked.put(line.substring(0, colon).toLowerCase(Locale.ROOT), line.substring(colon + 1).trim());
        }
        byte[] body = body(in, asked);
        String path = words[1].split("\\?")[0];
        int status = 200;
        if (path.startsWith("/bytes/")) {
            body = pattern(Integer.parseInt(path.substring("/bytes/".length())));
        } else if (!path.startsWith("/echo")) {
            status = 404;
            body = "no such thing".getBytes(StandardCharsets.UTF_8);
        }
        // chunked on request, so that both framings come from a real server
        boolean chunked = words[1].endsWith("?chunked");
        OutputStream out = socket.getOutputStream();
        out.write(head(socket, asked, status, chunked, body.length).getBytes(StandardCharsets.ISO_8859_1));
        if (words[0].equals("HEAD")) {
            // nothing follows
        } else if (chunked) {
            for (int from = 0; from < body.length; from += 4000) {
                int size = Math.min(4000, body.length - from);
                out.write((Integer.toHexString(size) + "\r\n").getBytes(StandardCharsets.ISO_8859_1));
                out.write(body, from, size);
                out.write("\r\n".getBytes(StandardCharsets.ISO_8859_1));
            }
            out.write("0\r\n\r\n".getBytes(StandardCharsets.ISO_8859_1));
        } else {
            out.write(body);
        }
        out.flush();
        return true;
    }

    private static String head(SSLSocket socket, Map<String, String> asked, int status, boolean chunked, int length)
            throws Exception {
        SSLSession session = socket.getSession();
        X509Certificate peer = (X509Certificate) session.getPeerCertificates()[0];
        return "HTTP/1.1 " + status + " As-Asked\r\n"
            + "x-seen-verify: SUCCESS\r\n"
            + "x-seen-dn: " + peer.getSubjectX500Principal().getName() + "\r\n"
            + "x-seen-serial: " + peer.getSerialNumber().toString(16) + "\r\n"
            + "x-seen-protocol: " + session.getProtocol() + "\r\n"
            + "x-seen-connection: " + socket.getPort() + "\r\n"
            + "x-seen-authorization: <" + asked.getOrDefault("authorization", "") + ">\r\n"
            + "x-seen-host: " + asked.getOrDefault("host", "") + "\r\n"
            + "x-seen-xfcc: <" + asked.getOrDefault("x-forwarded-client-cert", "") + ">\r\n"
            + "x-seen-traceparent: <" + asked.getOrDefault("traceparent", "") + ">\r\n"
            + "x-seen-request-id: <" + asked.getOrDefault("x-request-id", "") + ">\r\n"
            + (chunked ? "Transfer-Encoding: chunked" : "Content-Length: " + length) + "\r\n\r\n";
    }

    private static byte[] body(InputStream in, Map<String, String> asked) throws IOException {
        if (!asked.containsKey("transfer-encoding")) {
            return exactly(in, Integer.parseInt(asked.getOrDefault("content-length", "0")));
        }
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        while (true) {
            int size = Integer.parseInt(line(in).split(";")[0], 16);
            body.write(exactly(in, size));
            line(in);
            if (size == 0) {
                return body.toByteArray();
            }
        }
    }

    private static byte[] exactly(InputStream in, int size) throws IOException {
        byte[] bytes = in.readNBytes(size);
        if (bytes.length < size) {
            throw new EOFException("a body was cut short");
        }
        return bytes;
    }

    // without its CRLF; null at the end of the stream
    private static String line(InputStream in) throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        for (int next = in.read(); next != '\n'; next = in.read()) {
            if (next < 0) {
                return null;
            }
            line.write(next);
        }
        return line.toString(StandardCharsets.ISO_8859_1).stripTrailing();
    }

    // the same bytes as support/origin.rs
    private static byte[] pattern(int size) {
        int state = 0x2545f491;
        byte[] bytes = new byte[size];
        for (int index = 0; index < size; index++) {
            state ^= state << 13;
            state ^= state >>> 17;
            state ^= state << 5;
            bytes[index] = (byte) state;
        }
        return bytes;
    }
}
